/**
 * In a process of Next.js, which its globals tell, the Fetch API that libraries use is Node's own.
 */
Object.assign(globalThis, { __NEXT_DATA__: {} });
