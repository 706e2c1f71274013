"""Check digits and number plans: what tells a real identifier from digits that look like one."""

from __future__ import annotations

from datetime import date

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECK = "10X98765432"
_PROVINCES = frozenset("11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83".split())
"""First two digits of GB/T 2260 division codes; 83 is for residents from Taiwan."""
_FIRST_YEAR = 1900


def resident_id(digits: str) -> bool:
    """A Chinese resident identity number: GB 11643-1999, 18 places with an ISO 7064 MOD 11-2 check."""
    if len(digits) != 18 or digits[:2] not in _PROVINCES or not digits[:17].isdecimal():
        return False
    try:
        born = date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14]))
    except ValueError:
        return False
    total = sum(w * int(d) for w, d in zip(_ID_WEIGHTS, digits, strict=False))
    return born.year >= _FIRST_YEAR and _ID_CHECK[total % 11] == digits[17].upper()


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_number(digits: str) -> bool:
    """A payment card: an issuer's prefix and length (ISO/IEC 7812 ranges of the large schemes), and Luhn's check."""
    length, two, four = len(digits), int(digits[:2]), int(digits[:4])
    issued = (
        (digits[0] == "4" and length in (13, 16, 19))
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and length == 16)
        or (two in (34, 37) and length == 15)
        or (two == 62 and 16 <= length <= 19)
        or ((four == 6011 or two in (64, 65)) and 16 <= length <= 19)
        or (3528 <= four <= 3589 and 16 <= length <= 19)
        or (two in (36, 38, 39) and 14 <= length <= 19)
        or (two in (50, 56, 57, 58, 67) and 13 <= length <= 19)
    )
    return issued and len(set(digits)) > 1 and luhn(digits)


def machine_readable(field: str, check: str) -> bool:
    """ICAO Doc 9303-3, section 4.9: weights 7, 3, 1; A is 10, the filler is 0."""
    total = 0
    for place, character in enumerate(field):
        if character.isdecimal():
            value = int(character)
        elif character == "<":
            value = 0
        else:
            value = ord(character) - ord("A") + 10
        total += value * (7, 3, 1)[place % 3]
    return str(total % 10) == check
