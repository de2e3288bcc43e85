"""What the generated fields are called, where the option's own name and description do not say it best."""

from __future__ import annotations

from django import forms

DELIMITERS = [(",", "Comma  ,"), (";", "Semicolon  ;"), ("\t", "Tab"), ("|", "Bar  |"), (" ", "Space")]
QUOTES = [('"', 'Double quote  "'), ("'", "Single quote  '"), ("", "None")]
ENCODINGS = [
    ("utf-8", "UTF-8"),
    ("windows-1252", "Windows, Western (1252)"),
    ("windows-1250", "Windows, Central European (1250)"),
    ("windows-1251", "Windows, Cyrillic (1251)"),
    ("latin-1", "Latin-1"),
    ("utf-16", "UTF-16"),
]
_NO_SPELLING = {"spellcheck": "false", "autocomplete": "off"}

LABELS = {
    "file.path": "Path",
    "file.s3_uri": "Address",
    "file.records_path": "Where the records are",
    "file.csv.quote_char": "Quotes",
    "file.csv.has_header": "The first row names the columns",
    "file.csv.null_values": "Texts that mean “no value”",
    "file.csv.skip_rows": "Lines to pass over at the top",
    "file.csv.decimal": "Decimal sign",
    "file.csv.date_formats": "Date formats",
    "file.excel.sheet": "Sheet",
    "file.excel.header_row": "Row with the names",
    "db.table_name": "Table",
    "db.query": "Query",
    "api.url": "Address",
    "api.params": "Parameters of the query",
    "api.body": "Body (JSON)",
    "api.records_path": "Where the records are",
    "api.auth.type": "Authentication",
    "api.auth.name": "Name",
    "api.auth.value": "Key",
    "api.auth.location": "Sent in the",
    "api.auth.token_url": "Address of the token",
    "api.auth.client_id": "Client ID",
    "api.pagination.type": "Pages",
    "api.pagination.page_param": "Parameter of the page",
    "api.pagination.page_size_param": "Parameter of the size",
    "api.pagination.page_size": "Records a page",
    "api.pagination.next_token_path": "Where the next cursor is",
    "api.pagination.next_token_param": "Parameter of the cursor",
    "api.pagination.next_token_header": "… or the header that has it",
    "api.pagination.next_url_path": "Where the next address is",
    "api.pagination.first_page": "The first page is",
    "api.pagination.maximum_page": "Stop after page",
    "api.pagination.total_pages_path": "Where the number of pages is",
    "api.pagination.total_path": "Where the number of records is",
    "api.pagination.has_more_path": "Where it says that there is more",
    "api.pagination.send_in": "Sent in the",
    "api.pagination.stop_at": "The end is",
    "api.auth.extra_params": "More parameters of the token",
    "api.auth.credentials_in": "Credentials in the",
    "api.watermark.param_name": "Parameter that takes the watermark",
    "api.watermark.end_param_name": "Parameter that takes the end",
    "api.watermark.format": "Written as",
    "api.watermark.send_in": "Sent in the",
    "api.limits.timeout_seconds": "Timeout (seconds)",
    "api.limits.max_retries": "More tries",
    "api.limits.backoff_seconds": "First pause (seconds)",
    "api.limits.max_wait_seconds": "Longest pause (seconds)",
    "api.limits.rate_limit_per_minute": "Requests a minute",
    "api.limits.max_pages": "Pages at most",
    "api.limits.on_max_pages": "At more pages",
    "api.limits.max_page_bytes": "Bytes of a page at most",
    "api.limits.concurrency": "Pages at once",
    "db.statement_timeout_seconds": "Timeout (seconds)",
    "db.batch_rows": "Rows at once",
}
HELP = {
    "api.method": "",
    "api.url": "",
    "db.table_name": "As schema.table; it is read whole, or what is new of it.",
    "file.path": "A file or a pattern in a source folder: orders-*.csv",
    "file.s3_uri": "An object, a folder or a pattern: s3://bucket/prefix/*.csv",
    "file.records_path": "As in data.items; empty: the document is the list.",
    "file.csv.delimiter": "",
    "file.csv.quote_char": "",
    "file.csv.has_header": "",
    "file.csv.encoding": "A byte order mark in the file wins.",
    "file.csv.null_values": "Separated by commas, such as NA, NULL. An empty field always has none.",
    "file.csv.skip_rows": "",
    "file.csv.date_formats": "Separated by commas, such as %d.%m.%Y. Those that are common are known without.",
    "api.params": "",
    "api.headers": "Secrets belong into the authentication.",
    "api.records_path": "As in data.items; empty: the answer is the list. Testing the request offers what there is.",
    "api.watermark.param_name": "Such as since. Empty: all is sent, and what is known already is left out here.",
    "api.pagination.type": "",
    "api.auth.type": "",
}
CHOICES = {
    "file.csv.delimiter": DELIMITERS,
    "file.csv.quote_char": QUOTES,
    "file.csv.encoding": ENCODINGS,
    "file.csv.decimal": [(".", "Point  1234.56"), (",", "Comma  1.234,56")],
    "api.auth.type": [
        ("none", "None"),
        ("basic", "User and password"),
        ("bearer", "Bearer token"),
        ("api_key", "API key"),
        ("oauth2_client_credentials", "OAuth 2 client credentials"),
    ],
    "api.auth.location": [("header", "Header"), ("query", "Address")],
    "api.watermark.format": [
        ("", "As the watermark is"),
        ("iso", "2026-11-22T10:00:00Z"),
        ("date", "2026-11-22"),
        ("epoch_seconds", "Seconds since 1970"),
        ("epoch_milliseconds", "Milliseconds since 1970"),
    ],
    "api.pagination.stop_at": [("empty_page", "an empty page"), ("short_page", "a page that is not full")],
    "api.limits.on_max_pages": [("fail", "the run fails"), ("stop", "the rest is left out")],
    "api.pagination.type": [
        ("none", "One page only"),
        ("page", "Numbered pages"),
        ("offset", "Offset and limit"),
        ("cursor", "Cursor in the answer"),
        ("next_link", "Link in the answer"),
        ("link_header", "Link header"),
    ],
}
# How pages follow each other, a sentence each; shown under the choice.
PAGINATION_WORDS = {
    "none": "One request; the answer holds all records.",
    "page": "Pages 1, 2, 3, … until one is empty, or until as many came as the answer tells.",
    "offset": "Each request says how many records to pass over, until a page is empty.",
    "cursor": "Each answer holds a mark that the next request sends back, until there is none.",
    "next_link": "Each answer holds the address of the next page, until there is none.",
    "link_header": "The header Link of each answer has the address of the next page (rel=next), until there is none.",
}
WIDGETS = {
    "db.query": forms.Textarea(attrs={"rows": 10, **_NO_SPELLING}),
    "api.url": forms.TextInput(attrs={"placeholder": "https://api.example.com/v1/orders", **_NO_SPELLING}),
    "api.body": forms.Textarea(attrs={"rows": 4, **_NO_SPELLING}),
    "file.s3_uri": forms.TextInput(attrs={"placeholder": "s3://bucket/orders/*.csv", **_NO_SPELLING}),
}
# Options that few need: they stand behind “More”.
RARE = frozenset(
    {
        *("api.pagination.send_in", "api.pagination.stop_at", "api.pagination.has_more_path"),
        *("api.pagination.maximum_page", "api.pagination.total_pages_path", "api.pagination.total_path"),
        *("api.pagination.next_token_header", "api.auth.extra_params", "api.auth.credentials_in"),
        *("api.watermark.end_param_name", "api.watermark.send_in"),
    }
)
