"""Workbooks for tests, written by openpyxl; and an .ods, which is only XML in a zip."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import Any

import openpyxl

_ODS = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
 office:version="1.2"><office:body><office:spreadsheet><table:table table:name="Data">%s</table:table>
</office:spreadsheet></office:body></office:document-content>"""


def xlsx(*rows: list[Any], sheet: str = "Data", more: dict[str, list[list[Any]]] | None = None) -> bytes:
    """A workbook with one sheet of these rows, and more sheets by name; one whose name begins with _ is hidden."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, content in {
        **{key: value for key, value in (more or {}).items() if key.startswith("_")},
        sheet: rows,
    }.items():
        _fill(book, name, content)
    for name, content in (more or {}).items():
        if not name.startswith("_"):
            _fill(book, name, content)
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _fill(book: openpyxl.Workbook, name: str, rows: Any) -> None:
    sheet = book.create_sheet(name)
    sheet.sheet_state = "hidden" if name.startswith("_") else "visible"
    for row in rows:
        sheet.append(row)


def ods(*rows: list[Any]) -> bytes:
    def cell(value: Any) -> str:
        if isinstance(value, int | float):
            return f'<table:table-cell office:value-type="float" office:value="{value}"/>'
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    lines = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", _ODS % lines)
        archive.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
            '<manifest:file-entry manifest:full-path="/" '
            'manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/></manifest:manifest>',
        )
    return buffer.getvalue()
