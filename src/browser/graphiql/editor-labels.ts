/** Gives the input of each editor a name for screen readers, which GraphiQL does not. */
export function labelEditors(page: Element): void {
  new MutationObserver(() => {
    for (const input of page.querySelectorAll('.CodeMirror textarea:not([aria-label])')) {
      const label = input.closest('section[aria-label]')?.getAttribute('aria-label');
      input.setAttribute('aria-label', label ?? 'Editor');
    }
  }).observe(page, { childList: true, subtree: true });
}
