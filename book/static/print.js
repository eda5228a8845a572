// On paper, dark colours are ink without end, and pale text on white cannot be read.
let chosen;
addEventListener("beforeprint", () => {
    chosen = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => { document.documentElement.dataset.theme = chosen; });
