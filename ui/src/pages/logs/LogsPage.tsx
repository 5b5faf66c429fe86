/** To be written. */
export default function LogsPage() {
  return <h1>LogsPage</h1>;
}
