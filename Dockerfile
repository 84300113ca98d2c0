# syntax=docker/dockerfile:1
# imgmon as an image: nothing in it but Python, the daemon and what it runs on, from hashed locks.
#
#     docker build -t imgmon .
#     docker run --read-only --tmpfs /tmp -v ./monitor.toml:/etc/imgmon/monitor.toml:ro \
#         -v imgmon:/var/lib/imgmon -p 127.0.0.1:8720:8720 -e GEMINI_API_KEY imgmon
#
# In a container the API is reached through an address that is not loopback, so reading asks for a
# token unless the file says public_read = true, or the command --public-read.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements.lock requirements.lock
COPY tests/requirements.lock tests/requirements.lock
# The build backend comes from the hashed lock of the tests; nothing unhashed is fetched.
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r tests/requirements.lock \
    && python -m venv --without-pip /opt/imgmon \
    && /opt/build/bin/pip --python /opt/imgmon/bin/python install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY monitor ./monitor
COPY probes ./probes
# Compiled here: the image is read-only where it runs.
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /dist \
    && /opt/build/bin/pip --python /opt/imgmon/bin/python install --no-cache-dir --no-deps /dist/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="imgmon" \
      org.opencontainers.image.description="Measures image-generation APIs with canary probes and publishes the order failover clients should call them in." \
      org.opencontainers.image.licenses="MIT"
RUN useradd --system --uid 900 --no-create-home --home-dir /var/lib/imgmon --shell /usr/sbin/nologin imgmon \
    && install -d -o imgmon -m 0700 /var/lib/imgmon
COPY --from=build /opt/imgmon /opt/imgmon
ENV PATH=/opt/imgmon/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 900
WORKDIR /var/lib/imgmon
VOLUME /var/lib/imgmon
EXPOSE 8720
STOPSIGNAL SIGTERM
# Whether the process turns, not whether it is ready: a store that refuses is no reason to restart it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8720/livez', timeout=4)"]
ENTRYPOINT ["imgmon"]
CMD ["run", "--config", "/etc/imgmon/monitor.toml", "--listen", "0.0.0.0:8720"]
