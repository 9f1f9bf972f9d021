# syntax=docker/dockerfile:1
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin eddy && strip target/release/eddy

FROM debian:bookworm-slim
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
      org.opencontainers.image.created="${CREATED}"
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data eddy \
    && install -d -o eddy -g eddy /data
COPY --from=build /src/target/release/eddy /usr/local/bin/eddy
USER eddy
WORKDIR /data
VOLUME ["/data"]
# Eddy handles SIGTERM itself: it stops its sources, drains and closes the log.
ENTRYPOINT ["eddy"]
CMD ["run", "/etc/eddy/eddy.toml"]
