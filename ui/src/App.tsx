import { QueryClientProvider } from '@tanstack/react-query';
import { lazy } from 'react';
import { BrowserRouter, Link, Navigate, Route, Routes } from 'react-router';
import { fetchPart } from '@/api/parts';
import { makeQueryClient } from '@/api/query';
import { Layout } from '@/components/Layout';

// The list is small and comes first; the others are fetched when they are opened.
const RunsPage = lazy(() => fetchPart(() => import('@/pages/runs/RunsPage')));
const RunPage = lazy(() => fetchPart(() => import('@/pages/run/RunPage')));
const LogsPage = lazy(() => fetchPart(() => import('@/pages/logs/LogsPage')));
const WorkflowsPage = lazy(() => fetchPart(() => import('@/pages/workflows/WorkflowsPage')));
const WorkflowPage = lazy(() => fetchPart(() => import('@/pages/workflows/WorkflowPage')));

const queries = makeQueryClient();

/** The page: its routes are the addresses at which the service serves it. */
export function App() {
  return (
    <QueryClientProvider client={queries}>
      <BrowserRouter>
        <Routes>
          <Route element={<Layout />}>
            <Route index element={<Navigate to="/runs" replace />} />
            <Route path="/runs" element={<RunsPage />} />
            <Route path="/runs/:runId" element={<RunPage />} />
            <Route path="/runs/:runId/tasks/:task/logs" element={<LogsPage />} />
            <Route path="/workflows" element={<WorkflowsPage />} />
            <Route path="/workflows/:name" element={<WorkflowPage />} />
            <Route path="*" element={<NothingHere />} />
          </Route>
        </Routes>
      </BrowserRouter>
    </QueryClientProvider>
  );
}

function NothingHere() {
  return (
    <>
      <h1>There is nothing at this address</h1>
      <p>
        <Link to="/runs">All runs</Link>
      </p>
    </>
  );
}
