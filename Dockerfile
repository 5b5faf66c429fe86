# The service in an image: Python, one virtual environment, an unprivileged user, nothing to build with.
#   docker build -t podrun .                          any Debian or Ubuntu with Python 3.11 or newer will do as a base, and
#   docker build -t podrun --build-arg BASE=... .     any image with Node.js 20.19 or newer and npm as NODE_IMAGE
ARG BASE=python:3.13-slim
ARG NODE_IMAGE=node:20-slim

FROM ${NODE_IMAGE} AS page
WORKDIR /src/ui
# As below: what changes seldom first.
COPY ui/package.json ui/package-lock.json ui/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY docs/generated/openapi.json /src/docs/generated/
COPY ui ./
RUN npm run build

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Two environments: what the service needs goes into one without pip, what makes it stays behind in the other.
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/podrun
# What changes seldom first, so that a change in the code does not install it all again.
COPY requirements/server.txt requirements/build.txt ./requirements/
RUN /opt/build/bin/python -m pip install --quiet --require-hashes -r requirements/build.txt \
 && /opt/build/bin/python -m pip --python /opt/podrun/bin/python install --quiet --require-hashes -r requirements/server.txt
COPY pyproject.toml README.md LICENSE ./
COPY alembic ./alembic
COPY podrun ./podrun
COPY app ./app
COPY --from=page /src/app/api/page_files ./app/api/page_files
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/python -m pip --python /opt/podrun/bin/python install --quiet --no-deps --no-index /dist/*.whl

FROM ${BASE}
# The environment points to the base's own python3: both stages have the same base.
COPY --from=build /opt/podrun /opt/podrun
# /data: the database, the logs. Group 0 may write too, for platforms that choose the user themselves.
RUN mkdir -p /data && chown 10001:0 /data && chmod 0770 /data
ENV PATH=/opt/podrun/bin:$PATH \
    HOME=/data \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PODRUN_HOST=0.0.0.0 \
    PODRUN_PORT=8080 \
    PODRUN_DATABASE_URL=sqlite+aiosqlite:////data/podrun.db \
    PODRUN_LOGS_URL=/data/logs \
    PODRUN_LOCAL_PODS_DIR=/data/pods
WORKDIR /data
VOLUME /data
USER 10001:0
EXPOSE 8080
ENTRYPOINT ["podrun"]
CMD ["serve"]
