"""A script that stops the animations of a page, for tests that leave one open while they wait."""

from __future__ import annotations

STILL = """
addEventListener("DOMContentLoaded", () => {
  const style = document.createElement("style");
  style.textContent = "*, *::before, *::after { animation: none !important; transition: none !important }";
  document.head.append(style);
});
"""
"""Run in each page: what turns and fades is drawn by the processor here, sixty times a second for as long as a test waits."""
