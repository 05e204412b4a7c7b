"""What `--help` says: what a command is for, examples, and what a script has to know."""

from __future__ import annotations

__all__ = [
    "DEMO",
    "DEMO_EXAMPLES",
    "EXAMPLES",
    "PREVIEW",
    "PREVIEW_EXAMPLES",
    "PROCESS",
    "PROCESS_EXAMPLES",
    "REPORT_EXAMPLES",
    "TINY",
]

MAIN = """Ask an LLM about every row of a table: rate-limited, resumable, typed.

What is answered is kept in a journal (.lionproc/ in the working directory), so the same command
goes on where it was, and the same question is never paid twice. In Python: df.llm.process(...).
"""

KEYS = """Keys are read from the environment (OPENAI_API_KEY and the like; LIONPROC_API_KEY, or the
variable that --key-env names, for a server of your own), never from the command line.
"""

EXAMPLES = """\b
Examples:
  lionproc demo
  lionproc estimate reviews.csv -p "Is this positive? {review}" --type bool -m openai/gpt-5-mini
  lionproc process reviews.csv -p "Is this positive? {review}" --type bool -m openai/gpt-5-mini
  lionproc report
"""

PROCESS = """Ask about every row, and write the table with the answers.

A CSV is read as text: "007" stays "007", "NA" stays "NA", and an empty cell is a missing one,
whose row is not asked. Without --save the answers go beside the input (in.csv: in-answered.csv),
or to standard output where the input comes from standard input. The input is never overwritten.
The command goes on where it was when it is given again, also after a kill. Progress and the
summary go to standard error, and nothing but data to standard output.
"""

PROCESS_EXAMPLES = (
    """\b
Examples:
  lionproc process reviews.csv -p "Is this positive or negative? {review}" \\
      --into mood --labels positive,negative -m openai/gpt-5-mini --rpm 500 --budget 2
  lionproc process reviews.csv --prompt-file prompt.txt --schema answer.json --save out.parquet
  lionproc process in.jsonl -p "Translate into French: {text}" --into fr -m local --save -
  cat in.csv | lionproc process - -p "Summarise: {text}" -m local | head

\b
In --prompt, {column} is the cell of that column and {{ is a brace; a column that is called {x} is
{ {{x}} }. In CSV that is written, lists and objects are JSON, and an answer that begins like a
formula gets an apostrophe in front, as does any text that was in no CSV before (--as-is leaves
them).

"""
    + KEYS
    + """
\b
Exit codes:
  0    every row that was asked has an answer
  1    the run could not begin, or had to stop; nothing was written
  2    the arguments cannot work; nothing was sent
  3    some rows failed; all the others are written
  4    the budget was reached; what there is was written
  130  interrupted (Ctrl-C; 143: terminated); what was answered is kept, the same command goes on
  129  the terminal was closed; the same holds
  141  whoever read the output has ended (| head)
"""
)

PREVIEW = """Ask about a few rows, show what went out and came back, and what the rest would take.

What they answer is kept, so `process` does not pay for them again.
"""

PREVIEW_EXAMPLES = """\b
Example:
  lionproc preview reviews.csv -p "Is this positive? {review}" --type bool -n 5 --sample longest
"""

REPORT_EXAMPLES = """\b
Examples:
  lionproc report                                  the newest run
  lionproc report "first try" --html report.html   one page, with no cells in it
  lionproc report 1a2b3c --json | jq .usd
"""

ESTIMATE = """Say what `process` would send, cost and take. Nothing is sent."""

TINY = (
    "The embedded model is tiny (135 million parameters). It shows how the work is done, "
    "not how good answers can be: for those, name a model with --model."
)

DEMO = (
    """Answer a question about every row of a table, with no key and no account.

Shows and saves the result, then runs it again: nothing is asked twice. """
    + TINY
)

DEMO_EXAMPLES = (
    """\b
Examples:
  lionproc demo                                      60 reviews, the embedded model
  lionproc demo --file my.csv                        is each text positive or negative?
  lionproc demo --file my.csv --column text --labels bug,praise,question
  lionproc demo --file my.parquet --prompt "Summarise in five words: {text}"
  lionproc demo --file my.csv --model openai/gpt-5-mini --rows 20
  lionproc demo --file my.csv --model qwen3 --base-url http://localhost:8000/v1

"""
    + KEYS
)
