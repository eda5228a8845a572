// Keys of the slides: arrows, page up and down, space, Home and End. The address keeps the number.
const sections = [...document.querySelectorAll("section")];
const here = () => {
    const middle = innerHeight / 2;
    const place = sections.findIndex(s => s.getBoundingClientRect().bottom > middle);
    return place < 0 ? sections.length - 1 : place;
};
const show = place => {
    const section = sections[Math.max(0, Math.min(sections.length - 1, place))];
    section.scrollIntoView();
    history.replaceState(null, "", "#" + section.id);
};
const steps = {ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1};
addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const end = {Home: 0, End: sections.length - 1}[event.key];
    const step = event.key === " " && event.shiftKey ? -1 : steps[event.key];
    if (end === undefined && step === undefined) return;
    event.preventDefault();
    show(end ?? here() + step);
});
