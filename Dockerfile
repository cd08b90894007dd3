# The one binary, in a small image, as a user without rights.
#
#   docker build -t muster:dev .
#
# Both images can be replaced where no registry is reachable: the first needs cargo and a C compiler, the second glibc.
ARG BUILD_IMAGE=docker.io/library/rust:1-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
# The toolchain of the image is the one to use: rust-toolchain.toml would have another one downloaded.
RUN if command -v rustup >/dev/null; then RUSTUP_TOOLCHAIN=$(rustup default | cut -d ' ' -f 1); export RUSTUP_TOOLCHAIN; fi \
    && cargo build --release --locked \
    && install -D target/release/muster /out/muster

FROM ${BASE_IMAGE}
COPY --from=build /out/muster /usr/local/bin/muster
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/muster"]
