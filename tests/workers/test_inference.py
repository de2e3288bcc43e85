"""What a person expects a column of texts to be."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

import polars as pl
import pytest

from workers.readers.casts import typed
from workers.readers.infer import infer, plan_for
from workers.specs import CsvOptions

COLUMNS = [
    # whole numbers
    (["1", "-2", "0", ""], "int64"),
    (["9223372036854775807", "-9223372036854775808"], "int64"),
    (["9223372036854775808", "1"], "decimal(38,0)"),
    (["9" * 38, "-" + "9" * 38], "decimal(38,0)"),
    (["9" * 39], "string"),
    (["2025", "2026"], "int64"),
    (["20261122", "20261123"], "int64"),
    ([" 1", "2 "], "int64"),
    (["0", "1"], "int64"),
    (["4006381333931", "4012345678901"], "int64"),
    # codes that only look like numbers
    (["007", "8"], "string"),
    (["01234", "94105"], "string"),
    (["-01", "2"], "string"),
    (["00", "0"], "string"),
    (["+4915112345678"], "string"),
    (["+49 151 1234", "0151/1234"], "string"),
    (["(030) 123", "555-1234"], "string"),
    (["1,234", "5,678"], "string"),
    (["1_000"], "string"),
    (["0x1F", "0xFF"], "string"),
    (["12-34", "56-78"], "string"),
    (["1.2.3", "1.10.0"], "string"),
    (["192.168.1.1", "10.0.0.1"], "string"),
    (["A1", "B2"], "string"),
    (["3f2b8c4e-1d2a-4b5c-8d7e-9f0a1b2c3d4e", "3f2b8c4e-1d2a-4b5c-8d7e-9f0a1b2c3d4f"], "string"),
    # fractions
    (["1.5", "2"], "float64"),
    ([".5", "-0.25", "5."], "float64"),
    (["1e3", "2.5E-10"], "float64"),
    (["1.5", "nan", "inf", "-Infinity"], "float64"),
    (["19.99", "5.00"], "float64"),
    (["0.30000000000000004", "0.1"], "float64"),
    (["12345678901234567.89", "0.5"], "decimal(38,2)"),
    (["12345678901234567890", "1.5"], "decimal(38,1)"),
    (["9" * 30 + ".123456789", "1.5"], "string"),
    (["12,5", "3"], "string"),
    (["-", "-"], "string"),
    (["E5", "1"], "string"),
    # with units
    (["12%", "5%"], "string"),
    (["€5.00", "€7.50"], "string"),
    (["$1,234.56"], "string"),
    (["5.00 EUR"], "string"),
    # truth
    (["true", "false", ""], "boolean"),
    (["True", "FALSE"], "boolean"),
    (["t", "f"], "string"),
    (["yes", "no"], "string"),
    (["true", "unknown"], "string"),
    (["Y", "N"], "string"),
    # days
    (["2026-11-22", "2026-01-02"], "date"),
    (["22.11.2026", "1.2.2026"], "date"),
    (["22/11/2026", "03/04/2026"], "date"),
    (["11/22/2026", "03/04/2026"], "date"),
    (["03/04/2026", "05/06/2026"], "string"),
    (["03/04/2026", "03/03/2026", "01/01/2026"], "string"),
    (["22 Nov 2026", "1 Mar 2026"], "date"),
    (["November 22, 2026"], "date"),
    (["2026-11-22", "22.11.2026"], "date"),
    (["2026-11-22", "22 Nov 2026", "1/31/2026"], "date"),
    (["2026-11-22", "03/04/2026"], "string"),
    (["2026-02-30", "2026-01-01"], "string"),
    (["31/12/26", "30/11/26"], "string"),
    (["2026-11", "2026-12"], "string"),
    (["2026-W48"], "string"),
    (["0001-01-01", "9999-12-31"], "date"),
    (["2026-11-22", "never"], "string"),
    # moments
    (["2026-11-22T10:30:00", "2026-11-22 10:30"], "timestamp"),
    (["2026-11-22 10:30:00.123456"], "timestamp"),
    (["22.11.2026 10:30", "1.2.2026 00:00"], "timestamp"),
    (["2026-11-22", "2026-11-22 10:30:00"], "timestamp"),
    (["2026-11-22T10:30:00Z", "2026-11-22T10:30:00.5Z"], "timestamptz"),
    (["2026-11-22T10:30:00+02:00", "2026-11-22 10:30:00 -0500"], "timestamptz"),
    (["2026-11-22T10:30:00Z", "2026-11-22T10:30:00"], "string"),
    (["10:30:00", "23:59:59.5"], "time"),
    (["25:00:00", "10:30:00"], "string"),
    (["10:30", "05:15"], "string"),
    # nothing to go by
    (["", ""], "string"),
    ([], "string"),
]


def column(values: list[str]) -> pl.Series:
    return pl.Series("x", values, dtype=pl.String)


def values_of(texts: list[str], **options: object) -> list:
    plan = infer(column(texts), options=CsvOptions(**options))
    return column(texts).to_frame().select(typed(plan)).to_series().to_list()


@pytest.mark.parametrize(("texts", "type_"), COLUMNS)
def test_a_column_is_what_a_person_expects(texts, type_):
    plan = infer(column(texts))
    assert plan.type == type_
    if type_ != "string":  # and every text of it is read
        read = column(texts).to_frame().select(typed(plan)).to_series()
        assert read.is_null().to_list() == [text == "" for text in texts]


def test_texts_become_the_values_that_they_say():
    assert values_of(["2026-11-22", "22 Nov 2026", "1/31/2026"]) == [
        date(2026, 11, 22),
        date(2026, 11, 22),
        date(2026, 1, 31),
    ]
    assert values_of(["2026-11-22", "2026-11-22 10:30"]) == [datetime(2026, 11, 22), datetime(2026, 11, 22, 10, 30)]  # noqa: DTZ001
    assert values_of(["2026-11-22 10:30:00 -0500"]) == [datetime(2026, 11, 22, 15, 30, tzinfo=UTC)]
    assert values_of(["12345678901234567.89"]) == [Decimal("12345678901234567.89")]
    assert values_of(["10:30:00.5"]) == [time(10, 30, 0, 500_000)]


DECIMAL_COMMAS = [
    (["1,5", "-2,25", "3"], "float64", [1.5, -2.25, 3.0]),
    (["1.234,5", "1.234.567,89"], "float64", [1234.5, 1234567.89]),
    (["1.234", "12"], "int64", [1234, 12]),
    (["1.5", "2,5"], "string", ["1.5", "2,5"]),
    (["1,2,3"], "string", ["1,2,3"]),
    (["12345678901234567,89"], "decimal(38,2)", [Decimal("12345678901234567.89")]),
    (["007,5"], "string", ["007,5"]),
    (["22.11.2026"], "date", [date(2026, 11, 22)]),
]


@pytest.mark.parametrize(("texts", "type_", "values"), DECIMAL_COMMAS)
def test_with_a_decimal_comma_points_part_thousands(texts, type_, values):
    assert infer(column(texts), options=CsvOptions(decimal=",")).type == type_
    assert values_of(texts, decimal=",") == values


@pytest.mark.parametrize(
    ("type_", "read"),
    [
        ("float64", [1234.5, None, None, 7.0]),
        ("decimal(10,2)", [Decimal("1234.50"), None, None, Decimal("7.00")]),
        ("int32", [None, None, None, 7]),
    ],
)
def test_a_declared_number_with_a_decimal_comma_takes_no_other_spelling(type_, read):
    texts = column(["1.234,5", "1.5", "1,2,3", "7"])
    plan = plan_for("x", type_, texts, CsvOptions(decimal=","))
    assert texts.to_frame().select(typed(plan)).to_series().to_list() == read


GIVEN = [
    (["20261122", "20261201"], ("%Y%m%d",), "date", [date(2026, 11, 22), date(2026, 12, 1)]),
    (["03/04/2026", "05/06/2026"], ("%d/%m/%Y",), "date", [date(2026, 4, 3), date(2026, 6, 5)]),
    (["03/04/2026", "05/06/2026"], ("%m/%d/%Y",), "date", [date(2026, 3, 4), date(2026, 5, 6)]),
    (["31/12/26", "2026-11-22"], ("%d/%m/%y",), "date", [date(2026, 12, 31), date(2026, 11, 22)]),
    (["3.4.26", "2026/04/03"], ("%d.%m.%y", "%Y/%m/%d"), "date", [date(2026, 4, 3)] * 2),
    (["22.11.26 10:30:00.5"], ("%d.%m.%y %H:%M:%S.%f",), "timestamp", [datetime(2026, 11, 22, 10, 30, 0, 500_000)]),  # noqa: DTZ001
    (["11/22/2026 03:04 PM"], ("%m/%d/%Y %I:%M %p",), "timestamp", [datetime(2026, 11, 22, 15, 4)]),  # noqa: DTZ001
    (["20261122 1030 +0100"], ("%Y%m%d %H%M %z",), "timestamptz", [datetime(2026, 11, 22, 9, 30, tzinfo=UTC)]),
    (["12", "13"], ("%d/%m/%Y",), "int64", [12, 13]),
    (["2026-11-22"], ("%d/%m/%Y",), "date", [date(2026, 11, 22)]),
    (["31/12/2026", "soon"], ("%d/%m/%Y",), "string", ["31/12/2026", "soon"]),
]


@pytest.mark.parametrize(("texts", "formats", "type_", "values"), GIVEN)
def test_formats_that_a_person_gives_decide(texts, formats, type_, values):
    assert infer(column(texts), options=CsvOptions(date_formats=formats)).type == type_
    assert values_of(texts, date_formats=formats) == values


def test_a_declared_date_is_read_in_all_formats_that_the_sample_proves():
    texts = column(["2026-11-22", "22.11.2026", "03/04/2026", "x"])
    plan = plan_for("x", "date", texts)
    read = texts.to_frame().select(typed(plan)).to_series().to_list()
    assert read == [date(2026, 11, 22), date(2026, 11, 22), None, None]


def test_a_share_of_misfits_can_be_tolerated():
    texts = column(["1.5"] * 19 + ["oops"])
    assert infer(texts, 0.05).type == "float64"
    assert infer(texts, 0.04).type == "string"
    days = column(["2026-11-22"] * 10 + ["22.11.2026"] * 9 + ["03/04/2026"])
    assert infer(days, 0.05).formats == ("%Y-%m-%d", "%d.%m.%Y")
    assert infer(days, 0.04).type == "string"


def test_a_year_of_two_digits_is_never_one_of_antiquity():
    texts = column(["31/12/2026", "31/12/26", "31/12/0026"])
    plan = plan_for("x", "date", texts)
    assert texts.to_frame().select(typed(plan)).to_series().to_list() == [date(2026, 12, 31), None, date(26, 12, 31)]


PYTHON_FORMATS = [
    "%Y%m%d",
    "%d/%m/%y",
    "%d-%b-%y",
    "%B %d, %Y",
    "%A, %d. %B %Y",
    "%Y-%j",
    "%Y%m%d%H%M%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%d.%m.%y %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%d/%b/%Y:%H:%M:%S %z",
]


@pytest.mark.parametrize("fmt", PYTHON_FORMATS)
def test_a_format_means_what_it_means_to_python(fmt):
    moments = [datetime(2031, 12, 25, 21, 43, 57, 123_000, tzinfo=UTC), datetime(1999, 1, 2, 3, 4, 5, tzinfo=UTC)]
    texts = [moment.strftime(fmt) for moment in moments]
    expected = [datetime.strptime(text, fmt) for text in texts]  # noqa: DTZ007
    expected = expected if "%H" in fmt or "%I" in fmt else [moment.date() for moment in expected]
    assert values_of(texts, date_formats=(fmt,)) == expected
