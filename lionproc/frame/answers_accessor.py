"""`out.llm`: what can be asked of a frame that came back, and how it is handed on."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from lionproc.face import face
from lionproc.frame import results
from lionproc.frame.verbs import Verbs

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from lionproc.frame.place import AnyPath
    from lionproc.frame.scoring import Check, Score
    from lionproc.reports.report import Report


class AnswersAccessor(Verbs):
    """What is known of the answers in a frame."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    @face
    def errors(self) -> pd.DataFrame:
        """The rows that failed in the run that made this frame, or the frame it was made of.

        Returns:
            Position and index label in the frame that was asked about, column (after `pipeline`
            the stage that stopped it), kind, message, hint (what to do about it), reply (what
            the model said, cut) and attempts of each. Printed, it says so where there are none.

        Raises:
            ConfigurationError: This frame was not made by a run of this session.
        """
        return results.run_of(self._frame).errors()

    @face
    def report(self) -> Report:
        """What the run that made this frame did, and what it took and saved.

        Returns:
            An `lp.Report`: rows, requests, tokens, dollars, latency and errors as attributes and
            `as_dict()`; a card as the last line of a cell; `plot()` over time; `to_html(path)`,
            a page to hand on.

        Raises:
            ConfigurationError: This frame was not made by a run of this session.
        """
        return results.run_of(self._frame).report()

    @face
    def score(
        self, into: Hashable, gold: Hashable | pd.DataFrame, by: Hashable | None = None
    ) -> Score:
        """How good the answers in a column are, by the rows where somebody has said what is right.

        Works on any frame, whoever made it. A row without gold is not scored; one with gold and
        without an answer is counted apart, as `missing`; one that was among `examples=` is left out.

        Args:
            into: The column of answers: labels (a choice, text, true and false), numbers, or lists.
            gold: The column of what is right; missing where that is not known. Some hundred rows
                drawn at random will do. Or what `lp.read_review` read: then rows are found by
                what they say, and weighted by how they were drawn.
            by: A column whose values are slices with numbers of their own.

        Returns:
            An `lp.Score`: of labels `.accuracy` with a 95 % `.interval`, `.kappa`, `.f1`, `.table`,
            `.confusion` and `.shares` (of each label in the whole frame, corrected for the
            model's errors); of numbers `.mae`, `.rmse` and `.r`; of lists `.precision` and
            `.recall`; `.wrong`, the rows that differ; `.slices`, with `by=`. With confidences
            `.reliability`, `.coverage` and `.review(accuracy=0.95)`, the rows to look at. A card as
            the last line of a cell, and `.plot()`.

        Raises:
            ColumnError: A column is not there, or several are called so.
            ConfigurationError: There is no gold, it is of another kind than the answers, or has
                labels that the answer type does not have.
            MissingDependencyError: scikit-learn is not installed, which labels need
                (`pip install 'lionproc[evaluate]'`).

        Example:
            ```python
            out.llm.score("sentiment", gold="label", by="country")
            ```
        """
        from lionproc.frame.scoring import score

        return score(self._frame, into, gold, by)

    @face
    def check(self, into: Hashable | None = None) -> Check:
        """What smells in the answers, before they are trusted.

        One label for nearly every row, labels that are never used, numbers at their bounds,
        refusals and other phrases that are no answers, answers far longer than the rest, one text
        for many different rows, answers that were asked again or repaired, failed rows, thoughts
        and dollars out of line with `estimate`. Works on any frame; of one that a run of this
        session made it knows more.

        Args:
            into: The column of answers, or the prefix of its columns; None for all of the run.

        Returns:
            A frame with a row for each finding (column, finding, rows, example, what_to_do),
            which prints itself and shows a card. Empty where nothing was found, and says so.

        Raises:
            ColumnError: A column is not there, or several are called so.
            ConfigurationError: It is not known which column has the answers.

        Example:
            ```python
            out.llm.check("sentiment")
            ```
        """
        from lionproc.frame.scoring import check

        return check(self._frame, into)

    @face
    def to_review(
        self,
        path: str | os.PathLike[str],
        n: int = 100,
        by: Hashable | None = None,
        *,
        into: Hashable | None = None,
        columns: Sequence[Hashable] | None = None,
        seed: int = 0,
        overwrite: bool = False,
    ) -> Path | str:
        """Write a sample of the answers for a person to label, as CSV or Excel.

        Each row has an `id`, the columns that the prompt shows, the answer, an empty column
        `gold`, what is `allowed` in it, and a `weight`: how many rows this one stands for. No text
        in it can act as a formula. `lp.read_review(path)` reads it back for `score`, which
        weights each row by how it was drawn.

        Args:
            path: The file, ending in .csv or .xlsx; replaced, whole or not at all.
            n: How many rows; only rows with an answer are drawn.
            by: A column whose values all come in, rare ones more often than they are: those of
                the answers, so that no label is left out, or any other.
            into: The column of the answers; None for the only one of the run.
            columns: What a person sees; None for the columns of the prompt.
            seed: The same one draws the same rows.
            overwrite: Replace whatever file is there; else only a sheet without labels is replaced.

        Rows that the model is less sure of come in up to ten times as often, where there is a
        column `{into}_confidence`.

        Returns:
            The path.

        Raises:
            ConfigurationError: It is not clear which column is meant, or no row has an answer.
            ColumnError: A column is not there, or would be called in the sheet as another one is.
            SaveError: It could not be written, or somebody has labelled rows in it.

        Example:
            ```python
            out.llm.to_review("review.csv", n=100, by="sentiment")
            # and when a person has filled in the column gold:
            # out.llm.score("sentiment", gold=lp.read_review("review.csv"))
            ```
        """
        from lionproc.frame.scoring import to_review

        return to_review(
            self._frame,
            path,
            n=n,
            by=by,
            into=into,
            columns=columns,
            seed=seed,
            overwrite=overwrite,
        )

    @face
    def facts(self) -> dict[str, Any]:
        """Which run made these columns, and how: also of a frame that `lp.read_parquet` read.

        Returns:
            What `lp.read_facts` says of a file: model, provider, schema, prompt, columns, rows,
            tokens, dollars, when, and the id of the run, for `lp.run`.

        Raises:
            ConfigurationError: This frame was not made by a run of this session, nor read from a
                file that one wrote.
        """
        return dict(results.run_of(self._frame).facts())

    @face
    def to_parquet(self, path: AnyPath) -> Path | str:
        """Write this frame as a parquet file that knows the run which made its columns, as `save=`.

        `df.to_parquet` writes the same cells; `lp.read_facts` finds no prompt and model in its
        files, and pandas cannot read lists in them.

        Args:
            path: The file, ending in .parquet, or an address that fsspec knows; replaced, whole or
                not at all.

        Returns:
            The path.

        Raises:
            ConfigurationError: This frame was not made by a run of this session, nor read from a
                file that one wrote; or the path ends as another format does.
            SaveError: It could not be written; an older file is untouched.
        """
        from lionproc.frame.export import write_parquet
        from lionproc.frame.save_target import check_file

        facts = self.facts()
        check_file(path)
        return write_parquet(self._frame, path, facts)

    @face
    def to_csv(self, path: str | os.PathLike[str], **options: Any) -> Path | str:
        """Write this frame as CSV that is safe to open in a spreadsheet program.

        Text that a spreadsheet would run as a formula gets an apostrophe in front, in cells,
        labels and column names. `df.to_csv` and parquet leave it as it is.

        Args:
            path: The file, or an address that fsspec knows; replaced, whole or not at all.
            **options: Those of `DataFrame.to_csv`.

        Returns:
            The path.

        Raises:
            SaveError: It could not be written; an older file is untouched.
        """
        from lionproc.frame.spreadsheet import to_csv

        return to_csv(self._frame, path, **options)

    @face
    def to_excel(self, path: str | os.PathLike[str], **options: Any) -> Path | str:
        """Write this frame as an Excel file in which no text is a formula, as `to_csv` does.

        Args:
            path: The file, ending in .xlsx (or in .ods, for LibreOffice); replaced, whole or not
                at all.
            **options: Those of `DataFrame.to_excel`.

        Returns:
            The path.

        Raises:
            ConfigurationError: It has another ending than what is written.
            MissingDependencyError: openpyxl (odfpy for .ods) is not installed.
            ColumnError: A text is longer than a cell of Excel holds.
            SaveError: It could not be written; an older file is untouched.
        """
        from lionproc.frame.spreadsheet import to_excel

        return to_excel(self._frame, path, **options)

    @face
    def to_jsonl(
        self,
        path: str | os.PathLike[str],
        format: Literal["records", "openai"] = "records",  # noqa: A002 - as pandas calls such
    ) -> Path | str:
        """Write this frame as JSON Lines: its rows, or conversations to train a model on.

        Args:
            path: The file, or an address that fsspec knows; replaced, whole or not at all. One
                that ends in .gz is packed.
            format: "records" writes a row as an object, with lists and objects as what they are,
                times as ISO 8601, and null where a cell is missing or no number. Levels of the
                index that have a name come first.
                "openai" writes `{"messages": [...]}`: what was asked of a row, system prompt
                included, and its answer in the form in which the model is asked for it. Prompt and
                answers are made of the cells that this frame has now, so select, sort and correct
                it first. Rows without an answer are left out, and a warning counts them. In another
                session, `lp.run(id).frame(df)` makes a frame that knows it again.

        Returns:
            The path.

        Raises:
            ConfigurationError: For "openai": this frame was not made by a run of this session, or
                by one of several stages.
            ColumnError: A column is not there any more, a cell cannot be JSON, or an answer is none
                that its type allows.
            SaveError: It could not be written; an older file is untouched.

        Example:
            ```python
            out.llm.to_jsonl("rows.jsonl")
            out[out["checked"]].llm.to_jsonl("train.jsonl", format="openai")
            pd.read_json("rows.jsonl", lines=True, dtype=False)  # texts stay texts
            ```
        """
        from lionproc.frame.json_lines import to_jsonl

        return to_jsonl(self._frame, path, format)

    @face
    def to_arrow(self) -> pa.Table:
        """This frame as an Arrow table, with plain lists, structs and dictionaries in it.

        It is what `save=` writes: Polars, DuckDB and others take it as it is, and it has pandas'
        metadata, so that the index comes back.

        Raises:
            ColumnError: Arrow has no type for a column, or two are called the same.

        Example:
            ```python
            polars.from_arrow(out.llm.to_arrow())
            ```
        """
        from lionproc.frame.as_arrow import to_arrow

        return to_arrow(self._frame)

    @face
    def to_dataset(self) -> datasets.Dataset:
        """This frame as a dataset of Hugging Face, in memory. Nothing is downloaded or written.

        Categories become texts (or numbers), and maps lists of keys and values, for a dataset has
        neither. Levels of the index that have a name come first; others are left out.

        Raises:
            MissingDependencyError: The package `datasets` is not installed.
            ColumnError: Arrow has no type for a column, or two are called the same.

        Example:
            ```python
            out.llm.to_dataset().train_test_split(test_size=0.1, seed=0)
            ```
        """
        from lionproc.frame.as_arrow import to_dataset

        return to_dataset(self._frame)
