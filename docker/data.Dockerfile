# The data side: Ray head and workers, crawl, clean, dedup, tokenise.
#   docker build -f docker/data.Dockerfile -t headrace-data .
# Versions come from the lock: the extra says which packages, requirements/lock.txt which release of each.
FROM python:3.11-slim-bookworm AS build
WORKDIR /opt/src
COPY requirements/ requirements/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements/bootstrap.txt \
    && sed -E 's/ *\\$//; /^ *--hash/d' requirements/lock.txt > requirements/pins.txt
COPY pyproject.toml README.md LICENSE ./
COPY lake/ lake/
COPY governance/ governance/
COPY tokenizers/ tokenizers/
COPY megatron_jobs/ megatron_jobs/
COPY operators/ operators/
COPY cli/ cli/
# A package of lists of names asks for torch, which nothing here imports.
RUN /opt/venv/bin/uv pip install --no-cache --python /opt/venv/bin/python --constraint requirements/pins.txt \
    --override requirements/overrides.txt ".[data,models]"

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 headrace
COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/headrace
COPY dags/ dags/
COPY governance/sources/ governance/sources/
COPY governance/pipelines/ governance/pipelines/
COPY governance/policies/ governance/policies/
COPY tokenizers/configs/ tokenizers/configs/
COPY megatron_jobs/configs/ megatron_jobs/configs/
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
USER headrace
ENTRYPOINT ["headrace"]
CMD ["doctor", "--role", "data"]
