"""From a file to an index that is searched by meaning, and follows the file."""

ARTICLES = {
    "A-1": "Goods can be sent back within thirty days if the box has not been opened.",
    "A-2": "The parcel's number shows where it is on its way.",
    "A-3": "Invoices are due two weeks after the delivery.",
}
URL = "/api/catalog/datasets/gold.shop.help/search/"


def csv_of(articles: dict[str, str]) -> bytes:
    return "\n".join(["nr,body,kind", *(f'{nr},"{body}",faq' for nr, body in articles.items())]).encode()


def test_an_index_is_made_searched_and_kept_up_to_date(shop, upload, make, api):
    source = {"file": {"upload": upload("articles.csv", csv_of(ARTICLES))}}
    make(f"{shop}/ingest-jobs/", {"name": "articles", "source_type": "file_upload", "config": source})
    make(f"{shop}/ingest-jobs/articles/run/?wait=30", {}, 200)
    config = {"id_column": "nr", "text_column": "body", "metadata_columns": ["kind"]}
    job = {
        "name": "help",
        "dataset_type": "vector_index",
        "transform_type": "vector_index",
        "inputs": [{"dataset": "bronze.shop.articles"}],
        "config": config,
    }
    made = make(f"{shop}/gold-jobs/", job)
    assert made["config"] == config
    run = make(f"{shop}/gold-jobs/help/run/?wait=60", {}, 200)
    assert (run["status"], run["rows_written"]) == ("success", 3)

    body = api.get(URL, {"q": "Can I return something that I bought?", "k": 1}).json()
    assert body["model"] == "embedded:minilm"
    assert (body["results"][0]["document_id"], body["results"][0]["metadata"]) == ("A-1", {"kind": "faq"})

    changed = {"A-2": ARTICLES["A-2"], "A-3": "Bread is baked at night.", "A-4": "Ships sail at dawn."}
    source = {"file": {"upload": upload("articles.csv", csv_of(changed))}}
    assert api.patch(f"{shop}/ingest-jobs/articles/", {"config": source}).status_code == 200
    make(f"{shop}/ingest-jobs/articles/run/?wait=30", {}, 200)
    run = make(f"{shop}/gold-jobs/help/run/?wait=60", {}, 200)
    assert (run["status"], run["rows_written"]) == ("success", 2)
    found = api.get(URL, {"q": "When do boats leave?"}).json()["results"]
    assert found[0]["document_id"] == "A-4"
    assert {result["document_id"] for result in found} == {"A-2", "A-3", "A-4"}
