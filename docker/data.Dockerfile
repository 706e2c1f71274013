# The data side: Ray head and workers, crawl, clean, dedup, tokenise.
#   make images                                                       # all three, smoke-tested (docker/README.md)
#   docker build -f docker/data.Dockerfile -t headrace-data .
# Versions come from the lock: the extra says which packages, requirements/lock.txt which release of each.
FROM python:3.11-slim-bookworm AS build
# A certificate bundle of a company's own, and a folder of wheels: given by scripts/images, absent by default, not kept.
ARG SSL_CERT_FILE
ARG PIP_CERT
ARG PIP_FIND_LINKS
# kenlm comes as source: it needs a compiler, which stays in this stage. Debian's release is fixed by the base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*
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
# var/ is where settings put the lake and runs unless told otherwise: the user's own.
RUN useradd --create-home --no-log-init --uid 10001 headrace && install -d -o headrace -g headrace /opt/headrace/var
COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/headrace
COPY dags/ dags/
COPY governance/sources/ governance/sources/
COPY governance/pipelines/ governance/pipelines/
COPY governance/policies/ governance/policies/
COPY tokenizers/configs/ tokenizers/configs/
COPY megatron_jobs/configs/ megatron_jobs/configs/
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
ENTRYPOINT ["headrace"]
CMD ["doctor", "--role", "data"]
