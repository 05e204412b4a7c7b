"""Pictures, sounds and files are estimated by what they cost, not by their bytes."""

import base64
import io
import random
import struct
import wave
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.tokens import Tokens
from lionproc.model.estimate import Estimator
from lionproc.model.media import NO_MEDIA, tariff_of, weigh
from lionproc.model.pixels import size_of


def png(width, height, padding=0):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    noise = random.Random(1).randbytes(padding)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", noise)


def jpeg(width, height, comment=0):
    filler = b"\xff\xfe" + struct.pack(">H", comment + 2) + bytes(comment)
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3)
    return b"\xff\xd8" + b"\xff\xe0\x00\x10" + bytes(14) + filler + frame + bytes(20)


def data_url(data, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(data, **more):
    url = data if isinstance(data, str) else data_url(data)
    return {"type": "image_url", "image_url": {"url": url, **more}}


def tokens(part, model="gpt-4o"):
    return weigh([{"role": "user", "content": [part]}], tariff_of(model)).tokens


@pytest.mark.parametrize(
    "data",
    [
        png(640, 480),
        jpeg(640, 480),
        jpeg(640, 480, comment=60_000),
        b"GIF89a" + struct.pack("<HH", 640, 480),
        b"BM" + bytes(16) + struct.pack("<II", 640, 480),
        b"RIFF----WEBPVP8X" + bytes(8) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little"),
        b"RIFF----WEBPVP8L" + bytes(5) + (639 | 479 << 14).to_bytes(4, "little"),
        b"RIFF----WEBPVP8 " + bytes(10) + struct.pack("<HH", 640, 480),
    ],
)
def test_the_size_of_a_picture_is_found_in_its_first_bytes(data):
    assert size_of(data) == (640, 480)


@given(st.binary(max_size=80), st.sampled_from([b"", b"\xff\xd8", b"RIFF----WEBP", b"GIF", b"BM"]))
def test_bytes_that_are_no_picture_have_no_size_or_a_possible_one(data, start):
    found = size_of(start + data)
    assert found is None or min(found) > 0


@pytest.mark.parametrize(
    ("model", "size", "detail", "expected"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "auto", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("openai/gpt-4o", (1024, 1024), None, 765),
        ("gpt-4o-mini", (1024, 1024), "low", 2833),
        ("gpt-4o-mini", (1024, 1024), None, 2833 + 4 * 5667),
        ("gpt-5", (1024, 1024), None, 70 + 4 * 140),
        ("gpt-4.1-mini", (1024, 1024), None, 1659),
        ("gpt-4.1-mini", (4000, 1474), None, 2489),
        ("gpt-5-nano", (4000, 4000), "low", 2304),
        ("claude-sonnet-4", (1092, 1092), None, 1590),
        ("claude-sonnet-4", (8000, 8000), None, 1600),
        ("gemini-2.5-flash", (300, 300), None, 258),
        ("google/gemini-2.5-flash", (1536, 768), None, 516),
        ("a-model-of-ours", (1024, 1024), None, 765),
    ],
)
def test_a_picture_costs_what_its_provider_charges_for_its_size(model, size, detail, expected):
    more = {} if detail is None else {"detail": detail}
    assert tokens(picture(png(*size), **more), model) == expected


@pytest.mark.parametrize(
    "part",
    [
        picture("https://example.org/cat.png"),
        picture("data:image/png;base64,@@@"),
        {"type": "input_image", "image_url": "https://example.org/cat.png"},
        {"type": "image_url", "image_url": None},
    ],
)
def test_a_picture_whose_size_is_not_known_is_taken_for_a_usual_one(part):
    assert tokens(part) == 765


def test_sounds_are_charged_by_the_second():
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000 * 5))
    part = {"type": "input_audio", "input_audio": {"format": "wav", "data": (
        base64.b64encode(made.getvalue()).decode())}}  # fmt: skip
    assert 50 <= tokens(part) <= 51
    assert 160 <= tokens(part, "gemini-2.5-flash") <= 161
    mp3 = {"type": "input_audio", "input_audio": {"format": "mp3", "data": "A" * 64_000}}
    assert 29 <= tokens(mp3) <= 31


def test_files_are_charged_by_the_page():
    def file(url):
        return {"type": "file", "file": {"file_data": url}}

    pdf = b"%PDF-1.7 /Type /Pages" + b" /Type /Page " * 3 + bytes(400_000)
    assert tokens(file(data_url(pdf, "application/pdf"))) == 6000
    packed = data_url(bytes(250_000), "application/pdf")
    assert tokens(file(packed)) == 6000
    assert tokens(file(data_url(b"word " * 300, "text/plain"))) == 500
    assert tokens({"type": "file", "file": {"file_id": "file-1"}}) == 20_000
    assert tokens({"type": "video_url", "video_url": {"url": "https://example.org/v"}}) == 18_000


def test_text_has_no_media():
    part = {"type": "text", "text": "data:image/png;base64,AAAA"}
    for content in ("words", [part], [], None, [None, 3, "x", {}]):
        assert weigh([{"role": "user", "content": content}], tariff_of("gpt-4o")) is NO_MEDIA


def test_replies_teach_by_how_much_the_rule_is_off():
    estimator = Estimator()
    for _ in range(50):
        estimator.learn(300, Tokens(100, 5))
    for _ in range(50):
        estimator.learn(300, Tokens(100 + 2 * 765, 5), 765)
    made = estimator.tokens(300, None, charges_max=False, media=765)
    assert 1550 <= made.input <= 1700
    assert estimator.tokens(300, None, charges_max=False).input == 100
