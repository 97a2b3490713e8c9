# Made by: gpfn build functions/forecast --platform fn --print
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE} AS build
LABEL gpfn.stage="build"
ENV PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=315532800 TMPDIR=/build \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
COPY src/gpfn/build/stage /build/stage
COPY locks/all.lock locks/build.lock locks/sbom.lock /build/locks/
ARG RUNTIME=litert
RUN python3 -m stage dependencies "$RUNTIME"
COPY . /build/context
RUN python3 -m stage package
ARG FUNCTION=functions/forecast
ARG EXTRAS=
ARG GPFN_MODEL_MIRROR=
RUN python3 -m stage function "$FUNCTION" "$EXTRAS"
RUN python3 -m stage finish "$SOURCE_DATE_EPOCH"

FROM ${BASE}
COPY --from=build /image/gpfn /
COPY --from=build /image/function /
ARG BASE=python:3.12-slim-bookworm
ARG RUNTIME=litert
ARG FUNCTION=functions/forecast
ARG VERSION=
LABEL org.opencontainers.image.title="forecast" \
      org.opencontainers.image.description="Fn function on gpfn" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.base.name="${BASE}" \
      gpfn.platform="fn" gpfn.runtime="${RUNTIME}" \
      gpfn.function="${FUNCTION}"
ENV PATH=/opt/gpfn/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
ARG NAME=
ENV GPFN_NAME="${NAME}"
WORKDIR /function
USER 1000:1000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/gpfn/bin/gpfn", "run", "fn", "/function/func.py"]
