// Next.js must not bundle the gateway, which finds its version and its pages beside its own files.
export default { serverExternalPackages: ['task-status-gateway'] };
