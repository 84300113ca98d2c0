# syntax=docker/dockerfile:1
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY tests/requirements.lock tests/requirements.lock
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY monitor ./monitor
COPY probes ./probes
# The build backend comes from the hashed lock of the tests; nothing unhashed is fetched.
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r tests/requirements.lock \
    && /opt/build/bin/python -m build --wheel --no-isolation --outdir /dist
RUN python -m venv /opt/imgmon \
    && /opt/imgmon/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
    && /opt/imgmon/bin/pip install --no-cache-dir --no-deps /dist/*.whl

FROM ${PYTHON_IMAGE}
RUN useradd --uid 900 --create-home --home-dir /var/lib/imgmon imgmon
COPY --from=build /opt/imgmon /opt/imgmon
ENV PATH=/opt/imgmon/bin:$PATH PYTHONUNBUFFERED=1
USER imgmon
WORKDIR /var/lib/imgmon
VOLUME /var/lib/imgmon
EXPOSE 8720
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8720/livez', timeout=4)"]
ENTRYPOINT ["imgmon"]
CMD ["run", "--config", "/etc/imgmon/monitor.toml"]
