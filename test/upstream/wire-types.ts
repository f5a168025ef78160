import type { TaskStatusBeta, TaskStatusV2024 } from 'sailpoint-api-client';
import type { TaskWire } from '../../src/upstream/wire.ts';

// Read by the compiler alone: whatever the vendor's types let upstream send, the gateway reads.
export const fromBeta = (task: TaskStatusBeta): TaskWire => task;
export const fromV2024 = (task: TaskStatusV2024): TaskWire => task;
