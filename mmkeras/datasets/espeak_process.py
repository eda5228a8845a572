"""The process that speaks: it loads eSpeak NG's library, reads what to say, writes samples.

`speech` starts this file by its path, in the folder that holds `espeak-ng-data`; it needs nothing
but the standard library. A process of its own, because the library keeps a state, may end the
process that it is in, and takes no path of the data that is longer than 160 characters.

    python espeak_process.py LIBRARY    JSON on stdin, samples on stdout

stdin: a list of [sentence, voice, pitch, speed, seed]. stdout: the rate as int32, then for each the
number of samples as int32, the samples as int16, the number of words as int32 and the samples at
which they begin as int32, all in the byte order of the machine.
"""

import ctypes
import json
import sys
from pathlib import Path

_SYNCHRONOUS, _NO_EXIT = 2, 0x8000  # of espeak_Initialize
_SPEED, _PITCH = 1, 3  # of espeak_SetParameter
_UTF8 = 1
_WORD = 1  # of espeak_EVENT_TYPE; 0 ends a list of events


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", ctypes.c_int64),  # a union
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def main(library: str) -> None:
    """All clips; ends with a message and status 1 at the first call that fails."""
    espeak = ctypes.CDLL(library)
    espeak.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, b".", _NO_EXIT)
    if rate <= 0:  # 0 without the data, and no error
        sys.exit(f"espeak_Initialize gave {rate} in {Path.cwd()}")
    pieces: list[bytes] = []
    words: list[int] = []

    @_CALLBACK
    def receive(samples, count, events):  # type: ignore[no-untyped-def]
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        place = 0
        while events[place].type:
            if events[place].type == _WORD:
                words.append(events[place].sample)
            place += 1
        return 0

    espeak.espeak_SetSynthCallback(receive)
    out = sys.stdout.buffer
    out.write(ctypes.c_int32(rate))
    for sentence, voice, pitch, speed, seed in json.load(sys.stdin):
        pieces.clear()
        words.clear()
        variant = Path("espeak-ng-data", "voices", "!v", voice.partition("+")[2])
        if not variant.is_file():  # else the voice without a variant speaks, and no error
            sys.exit(f"no file {variant} in {Path.cwd()}")
        text = sentence.encode()
        _check("SetVoiceByName", espeak.espeak_SetVoiceByName(voice.encode()), voice)
        _check("SetParameter", espeak.espeak_SetParameter(_SPEED, speed, 0), speed)
        _check("SetParameter", espeak.espeak_SetParameter(_PITCH, pitch, 0), pitch)
        espeak.espeak_ng_SetRandSeed(seed)  # else the clock does
        size = ctypes.c_size_t(len(text) + 1)
        code = espeak.espeak_Synth(text, size, 0, 1, 0, _UTF8, None, None)
        _check("Synth", code, sentence)
        samples = b"".join(pieces)
        out.write(ctypes.c_int32(len(samples) // 2))
        out.write(samples)
        out.write((ctypes.c_int32 * (1 + len(words)))(len(words), *words))


def _check(call: str, code: int, value: object) -> None:
    if code:
        sys.exit(f"espeak_{call} gave {code} for {value!r}")


if __name__ == "__main__":
    main(sys.argv[1])
