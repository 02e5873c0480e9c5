# The daemon and the command line on Debian 12.
#
#   docker build -t cairnd:0.1.0 .
#   docker run -v cairn:/var/lib/cairn -p 7710:7710 --read-only --tmpfs /tmp cairnd:0.1.0
#
# deploy/docker/README.md has the rest.

FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      cmake g++ lld ninja-build pkg-config protobuf-compiler protobuf-compiler-grpc \
      libabsl-dev libcli11-dev libcurl4-openssl-dev libdeflate-dev libgoogle-perftools-dev libgrpc++-dev libhwy-dev libisal-dev libprotobuf-dev libpugixml-dev libspdlog-dev \
      libsqlite3-dev libssl-dev libxxhash-dev libyaml-cpp-dev libzstd-dev nlohmann-json3-dev zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY common common
COPY proto proto
COPY server server
COPY client client
# Without tests there are no fail points either.
RUN cmake --preset release -DCAIRN_BUILD_TESTS=OFF \
 && cmake --build --preset release \
 && DESTDIR=/stage cmake --install build/release --prefix /usr/local --component runtime --strip

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      ca-certificates libabsl20220623 libcurl4 libdeflate0 libgrpc++1.51 libhwy1 libisal2 libprotobuf32 libpugixml1v5 libspdlog1.10 libsqlite3-0 libssl3 libtcmalloc-minimal4 libxxhash0 libyaml-cpp0.7 libzstd1 zlib1g \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /stage/usr/local /usr/local
COPY deploy/docker/cairnd.yaml /etc/cairn/cairnd.yaml
# A volume takes the owner of this folder over when it is made.
RUN ["install", "-d", "-o", "10001", "-g", "10001", "-m", "0750", "/var/lib/cairn"]
# A library that is missing shows here, not at the first start.
RUN ["cairnd", "--check-config", "--config", "/etc/cairn/cairnd.yaml"]
RUN ["cairn", "--version"]
LABEL org.opencontainers.image.title="cairnd" \
      org.opencontainers.image.description="Checkpoint server for machine-learning training" \
      org.opencontainers.image.version="0.1.0"
# A file of defaults, not variables: what is mounted over it, flags and variables all take precedence.
ENV CAIRND_CONFIG=/etc/cairn/cairnd.yaml
USER 10001:10001
WORKDIR /var/lib/cairn
VOLUME ["/var/lib/cairn"]
EXPOSE 7710
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["cairn", "doctor"]
ENTRYPOINT ["cairnd"]
