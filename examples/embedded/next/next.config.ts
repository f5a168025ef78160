// Next.js must not bundle the gateway, which finds its version and its pages beside its own files.
// oxlint-disable-next-line import/no-default-export
export default { serverExternalPackages: ['task-status-gateway'] };
