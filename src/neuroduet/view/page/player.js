/** Play: the cursor runs through the recording, and the window follows it. */

const EDGE = 0.9;

export class Player {
  /**
   * @param {object} app What all panels share.
   * @param {HTMLButtonElement} button Play, pause.
   * @param {HTMLSelectElement} speeds How fast.
   */
  constructor(app, button, speeds) {
    Object.assign(this, { app, button, speeds, playing: false, last: 0 });
    button.addEventListener("click", () => this.toggle());
  }

  toggle() {
    if (this.playing) this.stop();
    else this.begin();
  }

  begin() {
    const { whole } = this.app.session;
    if (this.app.cursor >= whole.end) this.app.setCursor(whole.start);
    this.playing = true;
    this.show();
    this.last = performance.now();
    requestAnimationFrame((now) => this.tick(now));
  }

  stop() {
    this.playing = false;
    this.show();
  }

  show() {
    this.button.textContent = this.playing ? "❚❚" : "▶";
    this.button.setAttribute("aria-label", this.playing ? "pause" : "play");
  }

  tick(now) {
    if (!this.playing) return;
    const { session, view } = this.app;
    const time = this.app.cursor + Math.max(0, now - this.last) * 0.001 * Number(this.speeds.value);
    this.last = now;
    this.app.setCursor(Math.min(time, session.whole.end));
    const span = view.end - view.start;
    const shown = view.start <= time && time <= view.start + EDGE * span;
    if (!shown && view.end < session.whole.end) {
      this.app.setView({ start: time - 0.1 * span, end: time + 0.9 * span });
    }
    if (time >= session.whole.end) this.stop();
    else requestAnimationFrame((later) => this.tick(later));
  }
}
