# The program, its dependencies and a list of them (SBOM); neither sources nor compilers.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY deploy/bundle.ts ./deploy/
RUN npm run build
COPY deploy/sbom.ts ./deploy/
RUN npm run --silent sbom > sbom.cdx.json
RUN npm prune --omit=dev --ignore-scripts

FROM node:24-slim
LABEL org.opencontainers.image.title="task-status-gateway" \
      org.opencontainers.image.description="A GraphQL gateway over the Task Status API of SailPoint Identity Security Cloud" \
      org.opencontainers.image.licenses="MIT" \
      sbom.format="cyclonedx" \
      sbom.path="/app/sbom.cdx.json"
WORKDIR /app
COPY --from=build /app/package.json /app/sbom.cdx.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# The program writes no files, so the root file system can be read-only.
ENV HOST=0.0.0.0 PORT=4000
EXPOSE 4000
# A number, because Kubernetes cannot check that a name is not root.
USER 1000:1000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/live`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--enable-source-maps", "dist/main.js"]
