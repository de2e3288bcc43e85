"""What of the checked grammar runs on Spark: an allow-list of what tests prove to give DuckDB's rows.

Everything else is refused when the job is saved, without a JVM. Names are
sqlglot's classes, as in `workers.engines.sql.grammar`.
"""

from __future__ import annotations

from .. import grammar


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NODES = grammar.NODES - _names("Any All WithinGroup JSONPath JSONPathRoot JSONPathKey JSONPathSubscript") | _names(
    "JSONPath JSONPathRoot JSONPathKey"
)

FUNCTIONS = _names("""
    Sum Avg Min Max Count CountIf Median Stddev StddevPop StddevSamp Variance VariancePop PercentileCont
    FirstValue LastValue NthValue AnyValue ArgMax ArgMin GroupConcat LogicalAnd LogicalOr Corr Grouping
    RowNumber Rank DenseRank Ntile PercentRank CumeDist Lag Lead
    Abs Round Ceil Floor Sqrt Cbrt Pow Exp Ln Log Sign Greatest Least Mod IsNan IsInf
    Coalesce Nullif If Case Cast TryCast And Or Exists
    Lower Upper Trim Length Substring Concat ConcatWs Replace StartsWith EndsWith Contains StrPosition SplitPart Split
    Left Right Reverse RegexpReplace RegexpExtract RegexpLike MD5 SHA2
    CurrentDate CurrentTimestamp DateTrunc TimestampTrunc DateAdd DateDiff
    Extract Year Month Day Week Quarter Hour Minute Second DayOfWeek DayOfMonth DayOfYear DayOfWeekIso WeekOfYear
    LastDay StrToTime TimeToStr DateFromParts TimeToUnix Monthname Dayname
    Array ArraySize Explode JSONExtractScalar
    """)

NAMED_FUNCTIONS = _names("now date_part datepart isodow dayname monthname len strlen bit_length")

# Types of the lake; unsigned integers and JSON as a type of its own are DuckDB's.
TYPES = grammar.TYPES - _names("UTINYINT USMALLINT UINT UBIGINT INTERVAL")

# What date_trunc and date_diff cut at, and what an interval may count.
UNITS = _names("year quarter month week day hour minute second")
INTERVALS = _names("YEAR QUARTER MONTH WEEK DAY HOUR MINUTE SECOND")

# strftime's codes, as Java's DateTimeFormatter spells them.
TIME_CODES = {
    "Y": "yyyy", "m": "MM", "d": "dd", "H": "HH", "M": "mm", "S": "ss", "f": "SSSSSS", "y": "yy", "j": "DDD",
    "b": "MMM", "B": "MMMM", "a": "EEE", "A": "EEEE", "I": "hh", "p": "a", "%": "%",
    "-d": "d", "-m": "M", "-H": "H", "-I": "h", "-M": "m", "-S": "s",
}  # fmt: skip
