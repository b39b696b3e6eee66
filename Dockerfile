FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/seatlock
COPY requirements.txt ./
RUN /opt/seatlock/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY engine engine
COPY lua lua
COPY sql sql
RUN /opt/seatlock/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --uid 10001 --create-home --home-dir /var/lib/seatlock seatlock
COPY --from=build /opt/seatlock /opt/seatlock
ENV PATH=/opt/seatlock/bin:$PATH PYTHONUNBUFFERED=1 SEATLOCK_HOST=0.0.0.0 SEATLOCK_DATA_DIR=/var/lib/seatlock
USER seatlock
WORKDIR /var/lib/seatlock
EXPOSE 8000
ENTRYPOINT ["seatlock"]
CMD ["api"]
