import { failing, type Readiness } from "@maestro/types";
import { useEffect, useState, type FormEvent } from "react";
import { useLive } from "./live";

/** What the backend is not ready for; asked again whenever the connection opens or closes. */
function useFailing(open: boolean): string[] {
  const [names, setNames] = useState<string[]>([]);
  useEffect(() => {
    fetch("/readyz")
      .then((answer) => answer.json())
      .then((readiness: Readiness) => setNames(failing(readiness)))
      .catch(() => setNames(["backend"]));
  }, [open]);
  return names;
}

export function App() {
  const { open, about, notes, refused, send } = useLive();
  const notReady = useFailing(open);
  const [text, setText] = useState("");

  function submit(event: FormEvent): void {
    event.preventDefault();
    if (text) send(text);
    setText("");
  }

  return (
    <main>
      <h1>Console</h1>
      <p>
        <output id="state">{open ? "connected" : "waiting"}</output>
        {about && (
          <>
            {" to version "}
            <strong id="version">{about.version}</strong> on {about.node}, installed by{" "}
            <span id="installer">{about.installer}</span>
          </>
        )}
      </p>
      {notReady.length > 0 && <p role="alert">not ready: {notReady.join(", ")}</p>}
      <form onSubmit={submit}>
        <input
          aria-label="note"
          maxLength={280}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <button disabled={!open}>Write</button>
      </form>
      {refused && <p role="alert">{refused}</p>}
      <ol id="notes">
        {notes.map((note) => (
          <li key={note.at + note.text}>
            {note.text} <small>{note.by}</small>
          </li>
        ))}
      </ol>
    </main>
  );
}
