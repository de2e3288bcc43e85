"""What must never run: each of these is refused when it is saved, for both engines."""

import pytest

from workers.engines.sql import check_sql
from workers.errors import SqlRejected
from workers.specs import Column

INPUTS = {
    "t": (Column(name="g", type="int64"), Column(name="s", type="string")),
    "u": (Column(name="g", type="int64"), Column(name="x", type="float64")),
}

OTHER_STATEMENTS = """
drop table t
delete from t
truncate table t
update t set g = 1
insert into t values (1, 'a')
create table x as select * from t
create or replace view t as select 1 as g
create macro f(a) as a
alter table t add column z int
copy t to '/tmp/x.csv'
copy (select * from t) to '/tmp/x.parquet'
copy t from '/etc/passwd'
export database '/tmp/x'
import database '/tmp/x'
attach '/tmp/x.db' as x
detach x
use x
install httpfs
load httpfs
pragma database_list
pragma enable_profiling
set memory_limit = '100GB'
reset memory_limit
call pragma_version()
explain select * from t
explain analyze select * from t
describe t
describe select * from t
show tables
summarize t
vacuum
checkpoint
begin
commit
prepare q as select 1
execute q
pivot t on g using sum(g)
unpivot t on g into name n value v
""".strip().splitlines()

FILES_AND_FUNCTIONS = """
select * from read_csv('/etc/passwd')
select * from read_csv_auto('/etc/passwd')
select * from read_parquet('/tmp/*.parquet')
select * from read_json('http://169.254.169.254/latest/meta-data')
select * from read_ipc('/tmp/x')
select * from read_text('/etc/passwd')
select * from read_blob('/etc/passwd')
select * from parquet_metadata('/tmp/x.parquet')
select * from glob('/*')
select * from sqlite_scan('/tmp/x.db', 't')
select * from delta_scan('/tmp/x')
select * from query('select 1')
select * from query_table('t')
select * from '/etc/passwd'
select * from "/etc/passwd"
select * from 's3://bucket/x.parquet'
select * from "https://example.org/x.csv"
select * from duckdb_settings()
select * from duckdb_secrets()
select * from duckdb_tables
select * from pragma_table_info('t')
select * from information_schema.tables
select * from main.t
select * from memory.main.t
select * from sqlite_master
select * from generate_series(1, 1000000000)
select * from range(1000000000)
select * from repeat_row(1, num_rows => 1000000000)
select * from unnest(range(1000000000))
select * from t, generate_series(1, 1000000000)
select generate_series(1, 1000000000) as x
select range(1000000000) as x
select repeat('x', 400000000) as x
select rpad('x', 400000000, 'y') as x
select lpad('x', 400000000, 'y') as x
select getenv('HOME') as x
select current_setting('memory_limit') as x
select getvariable('x') as x
select read_csv('/etc/passwd') as x
select read_text('/etc/passwd') as x
select random() as x
select uuid() as x
select gen_random_uuid() as x
select nextval('s') as x
select pg_sleep(100) as x
select version() as x
select current_user as x
select session_user as x
select current_database() as x
select current_schema() as x
select error('x') as x
select eval('1') as x
select list_transform([1], x -> x) as x
select columns('.*') from t
select columns(*) from t
select struct_extract(t, 'g') as x from t
select nosuchfunction(g) as x from t
select pg_catalog.pg_ls_dir('/') as x
select s.read_csv('x') as x from t
""".strip().splitlines()

SHAPES = [
    "",
    "   ",
    "-- only a comment",
    ";",
    "select 1 as x; drop table t",
    "select 1 as x; select 2 as x",
    "select g from t; -- ; \n drop table t",
    "select g from t /* x */; /* y */ attach 'x'",
    "select g from t union all select * from read_csv('/etc/passwd')",
    "select g from t where g in (select a from read_csv('/etc/passwd'))",
    "select (select a from read_csv('/etc/passwd')) as x",
    "select g from t where exists (select 1 from 'secret.parquet')",
    "with x as (select * from read_csv('/etc/passwd')) select * from x",
    "with x as (delete from t returning *) select * from x",
    "with x as (insert into t values (1, 'a') returning *) select * from x",
    "with recursive r(n) as (select 1 union all select n + 1 from r) select n from r",
    "with recursive r as (select g from t union all select g from r) select g from r",
    "with t as (select 1 as g) select g from t",
    "with a as (select g from b), b as (select g from t) select g from a",
    "select g from a, (with a as (select g from t) select g from a) z",
    "select count(*) as n from t a, t b, t c, t d, t e",
    "select count(*) as n from t a cross join t b cross join t c",
    "select count(*) as n from t a join t b on true join t c on true",
    "select count(*) as n from t a join t b on 1 = 1 join t c on 1 = 1",
    "select count(*) as n from t a join t b on a.g = a.g join t c on b.g = b.g",
    "select count(*) as n from t a join t b on a.g > b.g join t c on a.g < c.g",
    "select count(*) as n from t a where exists (select 1 from t b, t c) and exists (select 1 from t d, t e)",
    "select 1 as n from " + ", ".join(f"t t{n}" for n in range(30)),
    "select g from t natural join u",
    "select t.g from t positional join u",
    "select g from t tablesample 10%",
    "select g from t using sample 10",
    "select g from t for update",
    "select g into x from t",
    "select g from t, lateral (select t.g) z",
    "select g from t at (version => 1)",
    "select * from (pivot t on g using sum(g))",
    "select $$a$$ as x",
    "select e'\\x41' as x",
    "select $1 as x",
    "select ? as x",
    "select :secret as x",
    "select $start_date_x as x",
    "select @x as x",
    "select #1 from t",
    "select g ~ 'a' as x from t",
    "select cast(g as secret_type) as x from t",
    "select g from t group by g limit (select g from read_csv('x'))",
    "select g from t order by (select a from read_csv('x'))",
    "select sum(g) over (order by (select a from read_csv('x'))) as x from t",
    "select case when (select count(*) from glob('*')) > 0 then 1 end as x",
    "select coalesce((select s from 'f.csv'), 'a') as x",
    "select g from t union by name select g from t",
    "select g as x from t where g = " + "(" * 500 + "1" + ")" * 500,
    "select " + " + ".join(["1"] * 5000) + " as x",
    "select " + "-" * 5 + " " + "not " * 3000 + "true as x",
    "select '" + "x" * 30_000 + "' as x",
    "select " + "9" * 60 + " as x",
    "select 1 as x \x00 from t",
    "select g from t where \"g\"\"; drop table t; --\" = 1",
    "select 'abc as x",
    "select \"abc as x",
    "sélect 1",
    "select g from t) union (select 1",
    "{{ ref('x') }}",
    "select * from {{ source('a', 'b') }}",
    "\\copy t to x",
    "!ls",
    ".shell ls",
    "import os",
    "from (from 'x.csv')",
    "select * from t join '/tmp/x.csv' f on true",
    "select * from rеad_csv('/etc/passwd')",  # the second letter is Cyrillic
    "select g frоm t",
    "select * from \"assay_files_t\"",
    "with recursive bomb(n) as materialized (select 1 union all select n * 2 from bomb) select max(n) as n from bomb",
    "select unnest(generate_series(1, 1000000000000)) as x",
    "select regexp_matches(s, '(?=a)b') as x from t",
    "select regexp_matches(s, '(a{1000}){1000}') as x from t",
    "select " + "case when true then " * 2000 + "1" + " end" * 2000 + " as x",
    "select " + "(" * 10_000 + "1" + ")" * 10_000 + " as x",
    "select replace(replace(s, 'a', '" + "b" * 20 + "'), 'b', '" + "c" * 20 + "') as x from t",
    "select replace(replace(replace(s, s, s), s, s), s, s) as x from t",
    "select regexp_replace(s, 'a', '" + "b" * 300 + "') as x from t",
]  # fmt: skip
HOSTILE = [*OTHER_STATEMENTS, *FILES_AND_FUNCTIONS, *SHAPES]


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@pytest.mark.parametrize("sql", HOSTILE, ids=lambda sql: sql[:50])
def test_a_hostile_statement_is_refused(sql, engine):
    with pytest.raises(SqlRejected) as refusal:
        check_sql(sql, INPUTS, engine)
    assert refusal.value.message


def test_comments_do_not_reach_the_engine():
    checked = check_sql("select /*+ hint */ g -- tail\nfrom t /* more */", INPUTS, "duckdb")
    assert "hint" not in checked.statement + checked.sql
    assert "tail" not in checked.statement + checked.sql
    assert "more" not in checked.statement + checked.sql


def test_quotes_in_names_and_values_stay_inside_them():
    inputs = {"t": (Column(name='a"; drop table t; --', type="string"),)}
    checked = check_sql(
        """select "a""; drop table t; --" as x from t where 'it''s; drop table t' = 'b'""", inputs, "duckdb"
    )
    assert '"a""; drop table t; --"' in checked.statement
    assert "'it''s; drop table t'" in checked.statement


def test_the_text_of_a_query_is_not_written_into_the_log(caplog):
    with pytest.raises(SqlRejected):
        check_sql("call a('a secret')", INPUTS, "duckdb")
    assert "a secret" not in caplog.text


def test_calls_in_one_another_do_not_grow_without_bound_where_they_are_rewritten():
    sql = f"select {'round(' * 40}x{', 1)' * 40} as x from u"
    with pytest.raises(SqlRejected, match="nested too deeply"):
        check_sql(sql, INPUTS, "polars")
