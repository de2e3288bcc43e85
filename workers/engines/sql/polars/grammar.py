"""What of the checked grammar runs on Polars: an allow-list of what tests prove to give DuckDB's rows.

Everything else is refused when the job is saved. Names are sqlglot's classes,
as in `workers.engines.sql.grammar`. What is on the list and Polars still lacks
(frames of windows, for instance) its own plan refuses.
"""

from __future__ import annotations

from .. import grammar


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NODES = grammar.NODES - _names("IgnoreNulls Escape JSONPath JSONPathRoot JSONPathKey JSONPathSubscript")

FUNCTIONS = _names("""
    Sum Avg Min Max Count CountIf Median Stddev StddevSamp Variance PercentileCont
    FirstValue LastValue NthValue GroupConcat ArrayAgg LogicalAnd LogicalOr Corr CovarSamp CovarPop Grouping
    RowNumber Rank DenseRank Ntile PercentRank CumeDist Lag Lead
    Abs Round Ceil Floor Trunc Sqrt Cbrt Pow Exp Ln Log Sign Greatest Least Mod IsNan IsInf
    Coalesce Nullif If Case Cast TryCast And Or Exists Any All
    Lower Upper Trim Length Substring Concat ConcatWs Replace StartsWith EndsWith Contains StrPosition SplitPart
    Left Right Reverse RegexpReplace RegexpLike RegexpExtract
    CurrentDate CurrentTimestamp DateTrunc TimestampTrunc DateAdd DateDiff
    Extract Year Month Day Week Quarter Hour Minute Second DayOfWeek DayOfMonth DayOfYear DayOfWeekIso WeekOfYear
    LastDay Dayname Monthname
    StrToTime TimeToStr TimeToUnix Date TsOrDsToDate
    Array ArraySize ArrayContains Explode
    """)

NAMED_FUNCTIONS = _names("now date_part datepart isodow len")

TYPES = grammar.TYPES - _names("JSON")

# Parts of a time that are counted alike.
PARTS = _names("year month day hour minute second quarter week dow dayofweek isodow doy dayofyear epoch")

# Codes of strftime and strptime that are spelled alike, and how Polars spells DuckDB's microseconds.
TIME_CODES = _names("Y m d H M S y j b B a A I p -d -m -H -I -M -S -j G V u %")
PARSED_CODES = _names("Y m d H M S y b B")
MICROSECONDS = {"f": "6f"}
