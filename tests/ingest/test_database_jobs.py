"""Jobs that read databases: what is refused when they are saved, and what a run is told to do."""

from urllib.parse import urlsplit

import psycopg
import pytest

from ingest import services
from ingest.models import IngestJob
from ingest.validation import problems_of
from tests.factories import make_connection
from workers.errors import SourceMissing
from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id


def job(shop, **options):
    config = {"db": {"connection": "erp", **options}}
    return IngestJob(
        workflow=shop, name="orders", source_type="database", config=config, format="csv", partition_mode="none"
    )


@pytest.mark.parametrize(
    ("kind", "query", "told"),
    [
        ("postgresql", "delete from orders", "this is DELETE"),
        ("postgresql", "with x as (insert into t values (1) returning id) select * from x", "INSERT does not"),
        ("postgresql", "select 1; select 2", "2 statements"),
        ("postgresql", "select 'a", "cannot be read"),
        ("mysql", "select 1 /*! into outfile '/tmp/x' */", "Comments that the server carries out"),
        ("mysql", "select 1 /*M!100000 into outfile '/tmp/x' */", "Comments that the server carries out"),
        ("mysql", "select id from orders for update", "LOCK does not"),
        ("mysql", "select `load_file`('/etc/passwd') as text", "load_file reaches beyond"),
        ("postgresql", "select pg_catalog.pg_read_file ('/etc/passwd')", "pg_read_file reaches beyond"),
        ("postgresql", "select \"pg_ls_dir\"('/')", "pg_ls_dir reaches beyond"),
        ("postgresql", "select U&\"\\0070g_ls_dir\"('/')", "Unicode escapes"),
        ("postgresql", "select * from dblink('host=169.254.169.254', 'select 1') as t (a int)", "dblink reaches"),
        ("postgresql", "select lo_export(1, '/tmp/x')", "lo_export reaches beyond"),
        ("oracle", "select utl_http.request('http://169.254.169.254/') from dual", "utl_http reaches beyond"),
        ("sqlite", "attach 'other.db' as x", "this is ATTACH"),
        ("mssql", "exec sp_who", "A source is a SELECT"),
        ("oracle", "begin null; end;", "statements|SELECT|Line 1"),
    ],
)
def test_a_query_that_is_no_plain_select_is_refused_with_its_reason(shop, kind, query, told):
    make_connection("erp", kind)
    (problem,) = problems_of(job(shop, query=query))
    assert (problem.attr, problem.code) == ("config.db.query", "sql_rejected")
    assert any(part in problem.detail for part in told.split("|"))


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("postgresql", "WITH x AS (SELECT data->>'a' AS a FROM t) SELECT a::int, count(*) FROM x GROUP BY 1; -- done"),
        ("postgresql", "SELECT 1 UNION ALL SELECT 2"),
        ("postgresql", "SELECT sp_orders.id, 'dblink(' AS load_file FROM sp_orders"),
        ("mysql", "SELECT `a b`, IF(x, 1, 2) AS y FROM `t` WHERE s LIKE '%x%'"),
        ("mssql", "SELECT TOP 10 [a b] FROM dbo.[My Table] WITH (NOLOCK)"),
        ("oracle", "SELECT a, ROWNUM AS r FROM hr.emp WHERE NVL(b, 0) > 1"),
        ("sqlite", "SELECT json_extract(doc, '$.a') AS a FROM t"),
    ],
)
def test_a_select_in_the_databases_own_dialect_is_taken(shop, kind, query):
    make_connection("erp", kind)
    assert problems_of(job(shop, query=query)) == []


def test_a_run_reads_parquet_whatever_format_the_job_says(shop):
    make_connection("erp", "mysql")
    spec = services.spec_of(job(shop, table_name="shop.orders", statement_timeout_seconds=60), "run-1")
    assert (spec.format, spec.source.kind, spec.source.table_name) == ("parquet", "mysql", "shop.orders")
    assert (spec.source.statement_timeout_seconds, spec.source.batch_rows) == (60, 50_000)
    with pytest.raises(SourceMissing, match="no connection “gone”"):
        services.spec_of(job(shop, connection="gone", table_name="orders"), "run-2")


def test_a_saved_job_is_previewed_and_run(shop, postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("CREATE TABLE orders AS SELECT n AS id, 'x' AS note FROM generate_series(1, 60) n")
    at = urlsplit(postgres_url)
    place = {"host": at.hostname, "port": at.port, "database": at.path[1:], "username": at.username}
    make_connection("erp", password=at.password or "", **place)
    saved = job(shop, table_name="orders")
    saved.save()
    shown = services.preview(saved)
    assert [(column.name, column.type) for column in shown.columns] == [("id", "int32"), ("note", "string")]
    assert shown.rows[0] == {"id": 1, "note": "x"}
    spec = services.spec_of(saved, str(new_run_id()))
    result = run_ingest(spec, access=services.access_for(spec))
    assert result.rows_written == 60
    assert result.facts["source"].endswith(f"{at.port}/{at.path[1:]} · orders")
