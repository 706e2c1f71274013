"""Our decoders beside a second implementation of the WHATWG Encoding Standard, over the two-byte space of every encoding.

    npm install --prefix /tmp/peer @exodus/bytes && python benchmarks/text/compare_charsets.py /tmp/peer

The peer runs in Node, whose own `TextDecoder` is ICU's and not the standard's: it has other tables for EUC-JP, Big5, EUC-KR and five
single-byte encodings. Printed are the encodings that differ, then the digests that `tests/governance/encoding/test_charsets.py` holds, and
what a decoder does a second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from headrace_governance.encoding.charsets import decoded

ENCODINGS = (
    "ibm866 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8 iso-8859-8-i iso-8859-10 iso-8859-13 iso-8859-14 "
    "iso-8859-15 iso-8859-16 koi8-r koi8-u macintosh windows-874 windows-1250 windows-1251 windows-1252 windows-1253 windows-1254 "
    "windows-1255 windows-1256 windows-1257 windows-1258 x-mac-cyrillic x-user-defined utf-8 utf-16le utf-16be gbk gb18030 big5 euc-jp "
    "iso-2022-jp shift_jis euc-kr"
).split()
_PEER = """
import {createInterface} from 'node:readline';
const {TextDecoder: Peer} = await import(process.argv[2]);
for await (const line of createInterface({input: process.stdin})) {
  const [name, hex] = line.split(' ');
  const text = new Peer(name, {ignoreBOM: true}).decode(new Uint8Array(Buffer.from(hex, 'hex')));
  const escaped = JSON.stringify(text).replace(/[\\u007f-\\uffff]/g, c => '\\\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
  process.stdout.write(escaped + '\\n');
}
"""


def pieces(name: str) -> Iterator[bytes]:
    """Bytes that reach every pointer of an encoding's index, and every way to break off behind one."""
    for first in range(256):
        yield b"".join(bytes([first, second]) + b"\n\n" for second in range(256))
    if name == "euc-jp":
        for first in range(0xA1, 0xFF):
            yield b"".join(bytes([0x8F, first, second]) + b"\n\n" for second in range(256))
    if name == "iso-2022-jp":
        for state in (b"\x1b$B", b"\x1b(I", b"\x1b(J", b"\x1b$@"):
            for first in range(256):
                yield b"".join(state + bytes([first, second]) + b"\x1b(B\n" for second in range(256))
    if name in ("gbk", "gb18030"):
        for first in (0x81, 0x82, 0x84, 0x8F, 0x90, 0xE3, 0xFE):
            for second in range(0x30, 0x3A):
                yield b"".join(bytes([first, second, third, fourth]) for third in range(0x81, 0xFF) for fourth in range(0x30, 0x3A))


def digest(name: str) -> str:
    """First half of the SHA-256 of what our decoder makes of all pieces."""
    state = hashlib.sha256()
    for piece in pieces(name):
        state.update(decoded(piece, name).encode("utf-16-le"))
    return state.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", type=Path, help="folder whose node_modules hold @exodus/bytes")
    module = parser.parse_args().peer.resolve() / "node_modules/@exodus/bytes/encoding.js"
    asked = [(name, piece) for name in ENCODINGS for piece in pieces(name)]
    with tempfile.NamedTemporaryFile("w", suffix=".mjs") as script:
        script.write(_PEER)
        script.flush()
        lines = "".join(f"{name} {piece.hex()}\n" for name, piece in asked)
        answers = subprocess.run(
            ["node", script.name, str(module)], input=lines.encode(), capture_output=True, check=True
        ).stdout.splitlines()
    assert len(answers) == len(asked)
    differing: dict[str, int] = {}
    for (name, piece), answer in zip(asked, answers, strict=True):
        if decoded(piece, name) != json.loads(answer):
            differing[name] = differing.get(name, 0) + 1
    print(f"{len(asked)} texts in {len(ENCODINGS)} encodings; differing: {differing or 'none'}")
    for name in ENCODINGS:
        data = b"".join(pieces(name))
        start = time.process_time()
        decoded(data, name)
        speed = len(data) / 1e6 / (time.process_time() - start)
        print(f'    "{name}": "{digest(name)}",  # {speed:.0f} MB/s')


if __name__ == "__main__":
    main()
