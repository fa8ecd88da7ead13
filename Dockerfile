# The service with one model in it, without PyTorch:
#   python export.py checkpoints/captcha62-light.safetensors --output_path output/model.onnx
#   docker build --build-arg MODEL=output/model.onnx -t crnn-reader .
#   docker run --rm --stop-timeout 70 -p 5000:5000 crnn-reader
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

COPY requirements-deploy.txt requirements-serve.txt ./
RUN pip install --no-cache-dir -r requirements-serve.txt

COPY models models
COPY utils utils
COPY serve.py ./
ARG MODEL=output/model.onnx
COPY ${MODEL} model.onnx

# By its number, which a cluster that wants no root can look at.
RUN useradd --system --uid 10001 --no-create-home reader
USER 10001

EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/healthz', timeout=2)"]
# Exec form: SIGTERM reaches the service itself, which answers what it took.
CMD ["python", "serve.py", "--model", "model.onnx", "--host", "0.0.0.0"]
