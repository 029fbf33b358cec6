"""Names of months and days in the languages of many tables, in full and shortened."""

from functools import cache

_NAMES = (
    "january february march april may june july august september october november december",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "januari februari mars april maj juni juli augusti september oktober november december",
    "januar februar marts april maj juni juli august september oktober november december",
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "styczen luty marzec kwiecien maj czerwiec lipiec sierpien wrzesien pazdziernik listopad grudzien",
)
"""English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish and Norwegian, Polish."""
_SHORT = {"mrz": 3, "mrt": 3, "sept": 9, "fevr": 2, "sierp": 8, "kwi": 4, "desember": 12, "jänner": 1, "jaenner": 1}
_PLAIN = str.maketrans("àáâãäçèéêìíòóôöùúûüśźńć", "aaaaaceeeiioooouuuuszn" + "c")


@cache
def _known() -> dict[str, int]:
    """{beginning of a name without accents: the month}; beginnings of two different months of one language are none."""
    found: dict[str, set[int]] = {}
    for names in _NAMES[1:]:
        for k, name in enumerate(names.translate(_PLAIN).split()):
            for length in range(3, len(name) + 1):
                found.setdefault(name[:length], set()).add(k + 1)
    known = {part: next(iter(months)) for part, months in found.items() if len(months) == 1}
    english = {name[:n]: k + 1 for k, name in enumerate(_NAMES[0].split()) for n in range(3, len(name) + 1)}
    return {**known, **_SHORT, **english}


def number(name: str) -> int:
    """1 to 12; 0: it is no month. `name`: without a full stop, in any case, with or without accents."""
    return _known().get(name.lower().translate(_PLAIN), 0)


_DAYS = (
    "monday tuesday wednesday thursday friday saturday sunday",
    "montag dienstag mittwoch donnerstag freitag samstag sonntag sonnabend",
    "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "lunes martes miercoles jueves viernes sabado domingo",
    "lunedi martedi mercoledi giovedi venerdi sabato domenica",
    "segunda terca quarta quinta sexta",
    "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    "mandag tirsdag onsdag torsdag fredag lordag",
    "poniedzialek wtorek sroda czwartek piatek sobota niedziela",
)
"""English, German, French, Spanish, Italian, Portuguese, Dutch, Danish and its neighbours, Polish."""
_DAY_PARTS = frozenset(name[:length] for names in _DAYS for name in names.split() for length in (2, 3, 4, len(name)))


def is_weekday(name: str) -> bool:
    """Whether this is a day of the week, in full or shortened to two to four letters, with or without accents."""
    return name.lower().translate(_PLAIN) in _DAY_PARTS
