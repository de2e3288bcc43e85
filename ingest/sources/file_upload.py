"""One file that somebody uploaded."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from pydantic import Field

from assay.common.problems import Problem
from ingest.models import IngestJob, Upload
from workers.errors import SourceMissing
from workers.specs import FilesSource, SourceFile

from .base import FileOptions, FileSource, Source


class FileUploadOptions(FileOptions):
    upload: str = Field(description="id of an upload, as POST /api/uploads/ answers it")


class FileUpload(FileSource, Source):
    name, part, options, available = "file_upload", "file", FileUploadOptions, True

    def problems(self, options: FileUploadOptions, path: str) -> Iterator[Problem]:
        if find_upload(options.upload) is None:
            yield Problem(
                f"{path}.upload", f"There is no upload “{options.upload}”. Upload the file first.", "unknown_upload"
            )

    def to_spec(self, options: FileUploadOptions, job: IngestJob) -> FilesSource:
        upload = find_upload(options.upload)
        if upload is None or not upload.path.is_file():
            raise SourceMissing(
                f"The upload “{options.upload}” is gone.", hint="Upload the file again and name it in the job."
            )
        mark = f"{upload.size}:{upload.sha256}"
        return FilesSource(files=(SourceFile(uri=str(upload.path), name=upload.name, mark=mark),))


def find_upload(upload_id: str) -> Upload | None:
    try:
        return Upload.objects.filter(pk=UUID(upload_id)).first()
    except ValueError:
        return None
