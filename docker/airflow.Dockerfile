# The Airflow side: scheduler, DAG processor, triggerer, API server. No torch, no Ray: it starts command lines over HTTP.
#   docker build -f docker/airflow.Dockerfile -t headrace-airflow .
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
RUN /opt/venv/bin/uv pip install --no-cache --python /opt/venv/bin/python --constraint requirements/pins.txt ".[airflow]"

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
ENTRYPOINT ["airflow"]
CMD ["version"]
