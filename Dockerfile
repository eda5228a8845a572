# A container that answers with one run. The run and the keys are mounted, not copied into the image:
#   docker build -t mmkeras .
#   docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp --cap-drop ALL \
#     -v "$PWD/weather/run:/run/model:ro" -v "$PWD/keys:/run/keys:ro" mmkeras
FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements.txt pyproject.toml README.md LICENSE LICENSE-text ./
COPY data/catalogue.toml data/catalogue.toml
COPY mmkeras mmkeras
RUN python -m venv /opt/mmkeras \
    && /opt/mmkeras/bin/pip install --no-cache-dir --constraint requirements.txt ".[serve]"

FROM python:3.12-slim
COPY --from=build /opt/mmkeras /opt/mmkeras
RUN useradd --system --uid 10001 --no-create-home mmkeras
ENV PATH=/opt/mmkeras/bin:$PATH PYTHONUNBUFFERED=1 MMKERAS_CACHE=/tmp/mmkeras MPLCONFIGDIR=/tmp/matplotlib
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
ENTRYPOINT ["mmkeras", "serve", "/run/model", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--key-file", "/run/keys"]
