# syntax=docker/dockerfile:1

# `plain` scores on a GPU where there is one, by its driver alone. With `--build-arg VARIANT=cuda` `eddy train --fine-tune` runs
# on one too: the image then holds NVIDIA's libraries, and starts only with the NVIDIA runtime.
ARG VARIANT=plain
ARG CUDA=13.0.2
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS cuda

# The release of Debian is the same where it is built and where it runs, so that the C library fits.
FROM rust:1.95-bookworm AS compiler-plain
ENV FEATURES=

FROM compiler-plain AS compiler-cuda
COPY --from=cuda /usr/local/cuda /usr/local/cuda
ENV FEATURES=cuda-training CUDA_HOME=/usr/local/cuda CUDA_COMPUTE_CAP=80 PATH=/usr/local/cuda/bin:$PATH

FROM compiler-${VARIANT} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin eddy --features "$FEATURES" \
    && strip --strip-debug target/release/eddy

FROM debian:bookworm-slim AS base-plain

FROM base-plain AS base-cuda
COPY --from=cuda /usr/local/cuda/lib64/libcublas.so.13 /usr/local/cuda/lib64/libcublasLt.so.13 \
    /usr/local/cuda/lib64/libcurand.so.10 /usr/local/cuda/lib64/libnvrtc.so.13 \
    /usr/local/cuda/lib64/libnvrtc-builtins.so.13.0 /usr/local/lib/
RUN ldconfig

FROM base-${VARIANT}
# Webhooks are sent over HTTPS with the system's certificates.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 eddy \
    && useradd --system --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin eddy \
    && install -d -o eddy -g eddy -m 0750 /data
COPY --from=build /src/target/release/eddy /usr/local/bin/eddy

# After the layers above, so that a new revision does not build them again.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="eddy" \
      org.opencontainers.image.description="Streaming anomaly detection that never loses what it acknowledged" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"

# What the NVIDIA runtime brings in, where there is a GPU: the driver's library, and nvidia-smi.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility

# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
# The default data folder, eddy-data, and relative paths of a config are below this one; nothing else is
# written, so the root file system may be read-only.
WORKDIR /data
VOLUME ["/data"]
# No HEALTHCHECK: the image holds no HTTP client, and where /livez answers is the config's to say.
# Eddy handles SIGTERM itself: it stops its sources, drains, and closes the log.
STOPSIGNAL SIGTERM
ENTRYPOINT ["eddy"]
CMD ["run", "/etc/eddy/eddy.toml"]
