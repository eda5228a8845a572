"""Pictures and recordings as people have them: odd headers, many formats, in bounded memory."""

import struct
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path
from zlib import compress, crc32

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmkeras.table import decode, load_table
from mmkeras.table.decode import decode_image
from mmkeras.table.paths import Refused
from mmkeras.table.recordings import decode_audio


def picture(tmp_path: Path, image: Image.Image, name: str, size=(8, 8), **options) -> np.ndarray:
    image.save(tmp_path / name, **options)
    return decode_image(str(tmp_path / name), size, max_pixels=10**8)


# ---- pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.bmp", "a.gif", "a.tif", "a.tiff", "a.webp"])
def test_formats_that_pillow_reads_safely(tmp_path, name):
    options = {"lossless": True} if name == "a.webp" else {}
    found = picture(tmp_path, Image.new("RGB", (9, 9), (200, 100, 50)), name, **options)
    np.testing.assert_allclose(found, np.broadcast_to((200, 100, 50), (8, 8, 3)), atol=3)


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png", "a.webp"])
def test_of_an_animation_the_first_frame_counts_and_of_pages_the_first(tmp_path, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    found = picture(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    assert found[..., 0].min() > 240 and found[..., 2].max() < 15


@pytest.mark.parametrize(("most", "white"), [(65535, 65535), (4095, 4095), (4096, 65535)])
def test_twelve_bits_in_sixteen_keep_their_levels(tmp_path, most, white):
    ramp = np.linspace(0, most, 64).astype(np.uint16).reshape(8, 8)
    found = picture(tmp_path, Image.fromarray(ramp), "a.png")
    np.testing.assert_array_equal(found[..., 0], np.round(ramp * (255 / white)).astype(int))


def wide_png(path: Path, colours: np.ndarray) -> None:
    """A PNG of 16 bits in each of three channels, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    height, width, _ = colours.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_colours_of_sixteen_bits_keep_their_levels_and_of_twelve_are_refused(tmp_path):
    colours = np.linspace(0, 65535, 8 * 8 * 3).reshape(8, 8, 3).astype(np.uint16)
    wide_png(tmp_path / "a.png", colours)
    found = decode_image(str(tmp_path / "a.png"), (8, 8), max_pixels=64)
    np.testing.assert_allclose(found, colours / 257, atol=1)
    wide_png(tmp_path / "b.png", colours // 16)
    with pytest.raises(Refused, match="16 bits, but none is above 4,095"):
        decode_image(str(tmp_path / "b.png"), (8, 8), max_pixels=64)
    wide_png(tmp_path / "c.png", 0 * colours)
    assert not decode_image(str(tmp_path / "c.png"), (8, 8), max_pixels=64).any()


def test_twelve_bits_are_said(tmp_path):
    for i in range(12):
        Image.fromarray(np.full((8, 8), 100 * i, np.uint16)).save(tmp_path / f"{i}.png")
    rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(12))
    (tmp_path / "a.csv").write_text(f"image,label\n{rows}", encoding="utf-8")
    with pytest.warns(UserWarning, match="11 image files have 16 bits, but no value above 4,095"):
        load_table(tmp_path / "a.csv", image="image", cache=False)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB", "I;16", "1", "CMYK"])
@pytest.mark.parametrize("shape", [(700, 500), (40, 30)])
def test_strips_give_what_the_whole_picture_gives(tmp_path, mode, shape, monkeypatch):
    """Converted as a whole and then shrunk by Pillow, as the first version did."""
    monkeypatch.setattr(decode, "STRIP", 5000)
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (7, 5, 4), dtype=np.uint8), "RGBA")
    image = pixels.resize(shape[::-1], Image.Resampling.BICUBIC)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode == "P":
        image = image.convert("RGB").quantize(16)
        image.info["transparency"] = 3
    elif mode in ("RGB", "1", "CMYK"):
        image = image.convert("RGB").convert(mode)
    elif mode in ("L", "LA"):
        image = image.convert("LA").convert(mode)
    whole = decode._rgb(image, 65535)
    expected = whole.resize((46, 64), Image.Resampling.BICUBIC, reducing_gap=3.0)
    found = decode._shrunk(image.copy(), (46, 64))
    assert np.abs(np.asarray(found, int) - np.asarray(expected, int)).max() <= 1


PEAK = """
import sys
from mmkeras.table.decode import decode_image

def peak():  # in KiB; that of getrusage is inherited from the process that started this one
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

decode_image(sys.argv[1], (64, 64), 10**8)
before = peak()
decode_image(sys.argv[2], (64, 64), 10**8)
print((peak() - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16"])
def test_a_picture_costs_little_more_than_its_pixels(tmp_path, mode):
    """Its peak, in a process of its own, is at most 1.5 times four bytes a pixel."""
    width, height = 4000, 3000
    Image.new(mode, (50, 50)).save(tmp_path / "small.png")
    Image.new(mode, (width, height)).save(tmp_path / "large.png", compress_level=1)
    command = [sys.executable, "-c", PEAK, tmp_path / "small.png", tmp_path / "large.png"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert width * height < int(output) < 1.5 * 4 * width * height


def test_the_pixels_that_threads_unpack_at_a_time_are_bounded(monkeypatch):
    monkeypatch.setattr(decode, "IN_FLIGHT", 100)
    room, most, inside = decode._Room(), [], []

    def work(pixels):
        for _ in range(50):
            with room(pixels):
                inside.append(pixels)
                most.append(sum(inside))
                inside.remove(pixels)

    threads = [threading.Thread(target=work, args=(n,)) for n in (30, 40, 50, 60, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 250 and max(n for n in most if n != 250) <= 100
    assert room.taken == 0


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (1500, 400)])
def test_a_jpeg_is_unpacked_small_and_looks_the_same(tmp_path, shape, monkeypatch):
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    image = coarse.resize(shape[::-1], Image.Resampling.BICUBIC)
    small = picture(tmp_path, image, "a.jpg", size=(64, 64), quality=90)
    asked = []
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *_: asked.append(1))
    whole = decode_image(str(tmp_path / "a.jpg"), (64, 64), 10**8)
    assert asked
    difference = np.abs(small.astype(int) - whole.astype(int))
    assert difference.mean() < 1.5 and np.quantile(difference, 0.99) < 8


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_composed_in_another_way_are_found(tmp_path, form):
    """macOS takes é apart in the names of files; an archive keeps that."""
    name = unicodedata.normalize(form, "café.png")
    other = unicodedata.normalize({"NFC": "NFD", "NFD": "NFC"}[form], "café.png")
    for i in range(6):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}{name}")
    rows = "".join(f"{i}{other},{'ab'[i % 2]}\n" for i in range(6))
    (tmp_path / "a.csv").write_text(f"image,label\n{rows}", encoding="utf-8")
    assert len(load_table(tmp_path / "a.csv", image="image", cache=False)) == 6


# ---- recordings -----------------------------------------------------------------------------

TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)).astype(np.float32)


def heard(path: Path, max_seconds: float = 60) -> np.ndarray:
    return decode_audio(str(path), 8000, 1.0, max_seconds)


def wav(tmp_path: Path) -> bytes:
    soundfile.write(tmp_path / "a.wav", TONE, 8000)
    return (tmp_path / "a.wav").read_bytes()


def size(n: int) -> bytes:
    return struct.pack("<I", n)


@pytest.mark.parametrize(
    "lie",
    [
        lambda b: b[:4] + size(0x7FFFF024) + b[8:40] + size(0x7FFFF000) + b[44:],  # sox, in a pipe
        lambda b: b[:4] + size(0xFFFFFFFF) + b[8:40] + size(0xFFFFFFFF) + b[44:],  # ffmpeg
        lambda b: b[:4] + size(0x80000024) + b[8:40] + size(0x80000000) + b[44:],  # arecord
        lambda b: b[:4] + size(len(b)) + b[8:],  # eight too many
        lambda b: b[:4] + size(len(b) - 7) + b[8:],  # one too many
        lambda b: b[:4] + size(0) + b[8:],
        lambda b: b[:36] + b"LIST" + size(5) + b"hello\0" + b[36:],  # a chunk of odd length
    ],
)
def test_a_wav_whose_header_lies_is_read_whole(tmp_path, lie):
    (tmp_path / "b.wav").write_bytes(lie(wav(tmp_path)))
    np.testing.assert_allclose(heard(tmp_path / "b.wav"), TONE, atol=1e-4)


@pytest.mark.parametrize("missing", [1000, 2])
def test_a_wav_that_lacks_promised_samples_is_cut_short(tmp_path, missing):
    data = wav(tmp_path)
    (tmp_path / "b.wav").write_bytes(data[:-missing])
    has = f"its header says 16,044 bytes, the file has {16044 - missing:,}"
    with pytest.raises(Refused, match=f"cut short: {has}"):
        heard(tmp_path / "b.wav")


@pytest.mark.parametrize(
    ("format", "subtype", "endian"),
    [
        ("WAV", "PCM_16", "BIG"),  # RIFX
        ("AIFF", "PCM_16", "FILE"),
        ("AU", "PCM_16", "FILE"),
        ("RF64", "PCM_16", "FILE"),
        ("MP3", "MPEG_LAYER_III", "FILE"),
    ],
)
def test_formats_that_libsndfile_reads_safely(tmp_path, format, subtype, endian):
    soundfile.write(tmp_path / "a", TONE, 8000, format=format, subtype=subtype, endian=endian)
    found = heard(tmp_path / "a")
    if format == "MP3":  # its blocks start late, and lose a little
        assert np.abs(np.fft.rfft(found)).argmax() == 440 and 0.4 < np.abs(found).max() < 0.6
    else:
        np.testing.assert_allclose(found, TONE, atol=1e-4)


def test_a_flac_behind_an_id3_tag(tmp_path):
    soundfile.write(tmp_path / "a.flac", TONE, 8000)
    tag = b"ID3\x04\0\0\0\0\0\x0a" + b"\0" * 10
    (tmp_path / "b.flac").write_bytes(tag + (tmp_path / "a.flac").read_bytes())
    np.testing.assert_allclose(heard(tmp_path / "b.flac"), TONE, atol=1e-4)


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    soundfile.write(tmp_path / "a.flac", TONE, 8000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])  # 0 samples: as a stream is written
    (tmp_path / "b.flac").write_bytes(data)
    np.testing.assert_allclose(heard(tmp_path / "b.flac"), TONE, atol=1e-4)
    with pytest.raises(Refused, match=r"lasts at least 1\.0 s, more than max_audio_seconds=0\.5"):
        heard(tmp_path / "b.flac", max_seconds=0.5)
