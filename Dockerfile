# The page and the HTTP API in a container, on the CPU:
#   docker build -t unsmear .
#   docker run --rm -p 127.0.0.1:7860:7860 unsmear
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
# Where torch comes from: PyPI's own build for Linux would bring gigabytes of CUDA.
ARG TORCH_OPTIONS="--index-url https://download.pytorch.org/whl/cpu"
WORKDIR /build
RUN python -m venv /opt/unsmear
ENV PATH=/opt/unsmear/bin:$PATH
COPY constraints.txt .
RUN pip install --no-cache-dir -c constraints.txt $TORCH_OPTIONS torch
COPY pyproject.toml setup.py README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir -c constraints.txt '.[web]'

FROM python:3.12-slim
# torch takes threads from it.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 unsmear
COPY --from=build /opt/unsmear /opt/unsmear
ENV PATH=/opt/unsmear/bin:$PATH GRADIO_ANALYTICS_ENABLED=False
USER unsmear
WORKDIR /home/unsmear
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/healthz')"]
ENTRYPOINT ["unsmear", "serve", "--host", "0.0.0.0"]
