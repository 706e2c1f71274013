# The training side: Megatron-Core.
#   make images                                                       # all three, smoke-tested (docker/README.md)
#   docker build -f docker/train.Dockerfile -t headrace-train .
# Versions come from the lock: the extra says which packages, requirements/lock.txt which release of each.
FROM python:3.11-slim-bookworm AS build
# A certificate bundle of a company's own, and a folder of wheels: given by scripts/images, absent by default, not kept.
ARG SSL_CERT_FILE
ARG PIP_CERT
ARG PIP_FIND_LINKS
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
# torch by itself: its CPU wheel has an index of its own (--build-arg TORCH_INDEX=...); without one, the default index and CUDA.
ARG TORCH_INDEX=""
RUN /opt/venv/bin/pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0 \
    && /opt/venv/bin/uv pip install --no-cache --python /opt/venv/bin/python --constraint requirements/pins.txt ".[models,train]"

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
CMD ["doctor", "--role", "train"]
