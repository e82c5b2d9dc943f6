# docker build -t strata . && docker run -p 8501:8501 strata
# A plain install may bring a torch that carries GPU libraries. Point TORCH_INDEX at PyTorch's index of CPU wheels
# (its address is in PyTorch's own installation guide) for an image that is several GB smaller:
#   docker build --build-arg TORCH_INDEX=... -t strata .
FROM python:3.11-slim
ARG TORCH_INDEX=""

WORKDIR /strata
COPY requirements.txt .
RUN python -m pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements.txt

COPY pyproject.toml .
COPY core core
COPY app app
COPY presets presets

# One heap for each thread of each visitor would take a third more memory, and so would freed memory that is not given back.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=65536 MALLOC_TRIM_THRESHOLD_=65536
RUN useradd --create-home strata
USER strata
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["python", "-m", "core", "app", "--address=0.0.0.0"]
