# NOT BUILT YET: written without a Docker daemon at hand; docs/deploy.md says what to check first.
#
#   docker build -t finephys .                                                       CPU
#   docker build -t finephys --build-arg TORCH_INDEX=https://pypi.org/simple .       NVIDIA GPU
#   docker run --rm -p 127.0.0.1:7860:7860 -v finephys:/data finephys                (GPU: --gpus all)
FROM python:3.11-slim-bookworm

# OpenCV links to these two.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.txt .
# PyTorch's own index has the CPU build; the package index has the one that brings CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --index-url "${TORCH_INDEX}" "$(grep '^torch==' requirements.txt)" \
    && pip install --no-cache-dir -r requirements.txt

COPY app.py LICENSE NOTICE ./
COPY finephys finephys
COPY study study
COPY assets assets
COPY checkpoints checkpoints

# Fetched weights, studies and temporary files are in volumes; the code stays read-only.
RUN useradd --create-home --uid 1000 app && mkdir /data && chown app /data
USER app
VOLUME /data
ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    HF_HOME=/data/huggingface \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s CMD \
    python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/health', timeout=4)"
CMD ["python", "app.py"]
