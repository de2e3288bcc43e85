"""What a query may be made of. Everything that is not named here is refused.

Names are sqlglot's classes: an allow-list of classes cannot be talked around
with quotes, comments or spelling, because it looks at what was understood.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAX_CHARACTERS, MAX_NODES, MAX_DEPTH, MAX_JOINS, MAX_PARENTHESES = 20_000, 4_000, 120, 16, 400
MAX_GROWTH = 200  # how many times as long replacements, one around the other, may make a text

# Clauses, operators and literals.
NODES = _names("""
    Select From Join Where Group Having Order Ordered Limit Offset Distinct With CTE Subquery Qualify Window WindowSpec
    Union Intersect Except Table TableAlias Identifier Column Star Alias Values Tuple Dot Placeholder
    Literal Null Boolean Paren Interval Var DataType DataTypeParam ColumnDef
    EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ Is In Between Like ILike Escape Not And Or Neg
    Add Sub Mul Div Mod IntDiv DPipe Exists Any All Filter WithinGroup IgnoreNulls RespectNulls
    Rollup Cube GroupingSets Bracket Array AtTimeZone BitwiseAnd BitwiseOr Case If JSONPath JSONPathRoot JSONPathKey
    JSONPathSubscript
    """)

# Functions that are pure, and whose result is not much larger than their arguments.
FUNCTIONS = _names("""
    Sum Avg Min Max Count CountIf Median Stddev StddevPop StddevSamp Variance VariancePop Quantile PercentileCont
    PercentileDisc ApproxDistinct ApproxQuantile First Last FirstValue LastValue NthValue AnyValue ArgMax ArgMin Mode
    GroupConcat ArrayAgg LogicalAnd LogicalOr Corr CovarSamp CovarPop Grouping
    RowNumber Rank DenseRank Ntile PercentRank CumeDist Lag Lead
    Abs Round Ceil Floor Trunc Sqrt Cbrt Pow Exp Ln Log Sign Greatest Least Mod IsNan IsInf
    Coalesce Nullif If Case Cast TryCast And Or Exists Any All
    Lower Upper Trim Length Substring Concat ConcatWs Replace StartsWith EndsWith Contains StrPosition SplitPart Split
    Left Right Reverse Initcap RegexpReplace RegexpExtract RegexpLike RegexpILike MD5 SHA2 Chr Unicode Levenshtein
    Date TsOrDsToDate CurrentDate CurrentTimestamp DateTrunc TimestampTrunc DateAdd DateSub DateDiff TsOrDsAdd
    TsOrDsDiff
    Extract Year Month Day Week Quarter Hour Minute Second DayOfWeek DayOfMonth DayOfYear DayOfWeekIso WeekOfYear
    LastDay StrToDate StrToTime TimeToStr TsOrDsToTimestamp TimeStrToTime TimeStrToDate DateStrToDate DateFromParts
    UnixToTime TimeToUnix Timestamp Monthname Dayname
    Array ArraySize ArrayContains Explode JSONExtract JSONExtractScalar
    """)

# Functions that sqlglot has no class for.
NAMED_FUNCTIONS = _names("""
    now date_part datepart strftime strptime isodow dayname monthname isfinite var_pop var_samp log10 log2
    quantile_disc len bit_length octet_length strlen
    """)

# For classes that can carry something dangerous: the parts of them that may be used.
PARTS = {
    "Select": _names("with_ expressions from_ joins where group having qualify windows distinct order limit offset"),
    "Table": frozenset({"this", "alias", "joins"}),
    "Join": frozenset({"this", "on", "using", "side", "kind", "method"}),
    "Union": _names("with_ this expression distinct order limit offset"),
    "Intersect": _names("with_ this expression distinct order limit offset"),
    "Except": _names("with_ this expression distinct order limit offset"),
    "Subquery": frozenset({"this", "alias", "with_", "order", "limit", "offset"}),
    "With": frozenset({"expressions"}),
    "CTE": frozenset({"this", "alias", "materialized"}),
    "Star": frozenset({"except_", "replace"}),
    "TableAlias": frozenset({"this", "columns"}),
}

TYPES = _names("""
    BOOLEAN TINYINT SMALLINT INT BIGINT INT128 UTINYINT USMALLINT UINT UBIGINT FLOAT DOUBLE DECIMAL VARCHAR
    TEXT CHAR NVARCHAR DATE TIME TIMESTAMP TIMESTAMPTZ TIMESTAMPNTZ VARBINARY BINARY JSON INTERVAL
    ARRAY LIST STRUCT UNKNOWN
    """)

PARAMETERS = ("start_date", "end_date", "run_time")

HINTS = {
    "read_csv": "A query reads its inputs only. Ingest the file first and name its dataset as an input.",
    "read_parquet": "A query reads its inputs only. Ingest the file first and name its dataset as an input.",
    "random": "A query must give the same rows when it is repeated.",
    "uuid": "A query must give the same rows when it is repeated.",
    "generate_series": "Make the series a dataset of its own and name it as an input.",
    "range": "Make the series a dataset of its own and name it as an input.",
}
