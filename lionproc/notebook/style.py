"""How the panel looks. Colours come from JupyterLab's theme; elsewhere from the text's own."""

CSS = """<style>
.lp-panel{
  --lp-text:var(--jp-ui-font-color1,var(--vscode-foreground,currentColor));
  --lp-quiet:color-mix(in srgb,var(--lp-text) 70%,transparent);
  --lp-faint:color-mix(in srgb,var(--lp-text) 14%,transparent);
  --lp-accent:var(--jp-brand-color1,#1976d2);
  --lp-good:var(--jp-success-color1,#388e3c);
  --lp-warn:var(--jp-warn-color0,var(--jp-warn-color1,#e65100));
  --lp-bad:var(--jp-error-color1,#d32f2f);
  --lp-warn-text:color-mix(in srgb,var(--lp-warn) 72%,var(--lp-text));
  --lp-bad-text:color-mix(in srgb,var(--lp-bad) 85%,var(--lp-text));
  box-sizing:border-box;max-width:780px;margin:2px 0 6px;padding:12px 16px 10px;overflow:visible;
  border:1px solid var(--lp-faint);border-radius:8px;
  background:var(--jp-layout-color1,transparent);color:var(--lp-text);
  font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.4}
.lp-panel .widget-html,.lp-panel .widget-html-content{margin:0;height:auto;overflow:visible;
  line-height:inherit;font-size:inherit;color:inherit}
.lp-panel .widget-html{width:auto;flex:none}
.lp-panel .widget-html-content{flex:1 1 auto;min-width:0}
.lp-panel .widget-box{overflow:visible;margin:0}

.lp-top{display:flex;align-items:baseline;gap:8px;flex-wrap:wrap}
.lp-top b{font-size:14px;font-weight:600}
.lp-dot{width:9px;height:9px;border-radius:50%;background:var(--lp-accent);align-self:center;flex:none}
.lp-paused .lp-dot,.lp-stopping .lp-dot{background:var(--lp-warn)}
.lp-failed .lp-dot{background:var(--lp-bad)}
.lp-done .lp-dot{background:var(--lp-good)}
.lp-what{color:var(--lp-quiet);overflow:hidden;text-overflow:ellipsis;white-space:nowrap;
  flex:1 1 120px;min-width:0}
.lp-when{color:var(--lp-quiet);font-variant-numeric:tabular-nums;white-space:nowrap}
.lp-when strong{color:var(--lp-text);font-weight:600}

.lp-bar{display:flex;height:8px;border-radius:4px;overflow:hidden;background:var(--lp-faint);
  margin:9px 0 5px}
.lp-bar i{display:block;height:100%}
.lp-bar .lp-answered{background:var(--lp-accent)}
.lp-bar .lp-cached{background:color-mix(in srgb,var(--lp-accent) 50%,transparent)}
.lp-bar .lp-skipped{background:color-mix(in srgb,var(--lp-text) 30%,transparent)}
.lp-bar .lp-failed{background:var(--lp-bad)}
.lp-rows{display:flex;gap:4px 14px;flex-wrap:wrap;color:var(--lp-quiet);
  font-variant-numeric:tabular-nums}
.lp-rows b{color:var(--lp-text);font-weight:600}
.lp-rows .lp-failed-count{color:var(--lp-bad-text);font-weight:600}
.lp-rows .lp-refusals{color:var(--lp-warn-text)}
.lp-key{white-space:nowrap}
.lp-key i{display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:5px}
.lp-key .lp-cached{background:color-mix(in srgb,var(--lp-accent) 50%,transparent)}
.lp-key .lp-skipped{background:color-mix(in srgb,var(--lp-text) 30%,transparent)}
.lp-key .lp-failed{background:var(--lp-bad)}
.lp-key .lp-refused-key{width:2px;height:10px;border-radius:0;background:var(--lp-warn);
  vertical-align:-1px}
.lp-key .lp-takes-key{width:16px;height:0;border-radius:0;border-top:2px dotted var(--lp-warn);
  vertical-align:3px}
.lp-rows .lp-push{margin-left:auto}

.lp-tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(112px,1fr));gap:10px 20px;
  margin:12px 0 2px}
.lp-tile{min-width:0;display:flex;flex-direction:column}
.lp-tile>span{color:var(--lp-quiet);font-size:12px}
.lp-tile b{font-size:20px;font-weight:600;line-height:1.3;font-variant-numeric:tabular-nums}
.lp-tile .lp-unknown{color:var(--lp-quiet);font-weight:400}
.lp-tile small{font-size:12px;color:var(--lp-quiet);font-variant-numeric:tabular-nums}
.lp-gauge{height:3px;border-radius:2px;background:var(--lp-faint);margin-top:5px;overflow:hidden}
.lp-gauge i{display:block;height:100%;background:var(--lp-accent);border-radius:2px}
.lp-gauge.lp-near i{background:var(--lp-warn)}

.lp-panel .lp-middle{display:flex;flex-flow:row wrap;gap:12px 24px;margin-top:16px;
  align-items:stretch}
.lp-panel .lp-middle>*{flex:1 1 270px;min-width:0}
.lp-panel .lp-middle>.lp-plot{flex:1 1 220px}
.lp-heading{margin-bottom:3px}
.lp-heading b{font-weight:600}
.lp-heading span{color:var(--lp-quiet);margin-left:6px}
.lp-chart{display:flex;flex-direction:column;height:100%}
.lp-canvas{position:relative;flex:1 1 auto;min-height:64px;border-bottom:1px solid var(--lp-faint)}
.lp-axis{display:flex;justify-content:space-between;gap:2px 12px;flex-wrap:wrap;font-size:12px;
  line-height:1.5;color:var(--lp-quiet);font-variant-numeric:tabular-nums}
.lp-panel .lp-plot{display:flex;width:auto}
.lp-panel .lp-plot .widget-html-content{height:100%}
.lp-chart svg{position:absolute;inset:0;width:100%;height:100%;display:block}
.lp-chart *{vector-effect:non-scaling-stroke}
.lp-area{fill:var(--lp-accent);opacity:.15}
.lp-curve{fill:none;stroke:var(--lp-accent);stroke-width:2;stroke-linejoin:round}
.lp-line{fill:none;stroke:var(--lp-text);stroke-width:1.25;stroke-dasharray:5 4;opacity:.7}
.lp-takes{fill:none;stroke:var(--lp-warn);stroke-width:1.5;stroke-dasharray:2 3}
.lp-refused{stroke:var(--lp-warn);stroke-width:2}
.lp-limit{position:absolute;right:0;transform:translateY(-112%);font-size:12px;line-height:1.2;
  color:var(--lp-quiet);font-variant-numeric:tabular-nums}
.lp-limit.lp-above{top:0;transform:none}

.lp-panel .lp-row{display:flex;align-items:center;gap:4px;height:30px}
.lp-panel .lp-row .widget-text{margin:0;width:186px;flex:none}
.lp-panel .lp-row .widget-text>.widget-label{width:98px;text-align:left;color:var(--lp-quiet);
  font-size:12.5px;margin:0}
.lp-panel .lp-row input[type=text]{font-variant-numeric:tabular-nums;text-align:right;
  border-radius:4px;min-width:0}
.lp-panel .lp-row .widget-slider{margin:0 8px 0 4px;flex:1 1 auto;width:auto;min-width:48px;
  position:relative}
.lp-panel .lp-row .widget-slider>.widget-label{display:none}
.lp-panel .lp-row .slider-container{flex:1 1 auto}
.lp-panel .lp-row .widget-readout{position:absolute;left:50%;top:-17px;transform:translateX(-50%);
  width:auto;min-width:0;height:auto;line-height:1.5;padding:0 8px;border-radius:4px;border:0;
  background:var(--lp-text);color:var(--jp-layout-color1,#fff);font-size:12px;pointer-events:none;
  visibility:hidden;z-index:3}
.lp-panel .lp-row .widget-slider:has(.noUi-active)>.widget-readout,
.lp-panel .lp-row .widget-slider:has(.noUi-handle:focus-visible)>.widget-readout{visibility:visible}
.lp-panel .noUi-connect{background:var(--lp-accent)}
.lp-panel .noUi-handle{cursor:grab}
.lp-panel .noUi-handle:focus-visible,.lp-panel button:focus-visible,
.lp-panel input:focus-visible{outline:2px solid var(--lp-accent);outline-offset:2px}
.lp-panel .noUi-handle:focus-visible{box-shadow:0 0 0 3px color-mix(in srgb,var(--lp-accent) 45%,transparent)}

.lp-panel .lp-buttons{display:flex;align-items:center;gap:6px;margin-top:10px;flex-wrap:wrap}
.lp-panel .lp-buttons .jupyter-button{width:auto;min-width:92px;padding:0 12px;margin:0;
  border-radius:4px;height:28px;line-height:28px}
.lp-panel .lp-buttons .lp-note{flex:1 1 200px;min-width:0}
.lp-panel>.lp-wheel{margin-top:12px}
.lp-panel .lp-note p{margin:0;padding-left:6px;color:var(--lp-quiet)}
.lp-panel .lp-note p.lp-alert{color:var(--lp-warn-text)}
.lp-note code{font-family:var(--jp-code-font-family,monospace);font-size:.95em;color:var(--lp-text);
  background:none;padding:0}
.lp-panel .lp-list{max-height:216px;overflow:auto}
.lp-panel .lp-list p{margin:10px 0 0;color:var(--lp-quiet)}
.lp-panel .lp-list table{border-collapse:collapse;width:100%;font-size:12.5px;
  margin:10px 0 0}
.lp-panel .lp-list :is(th,td){text-align:left;vertical-align:top;padding:4px 14px 4px 0;
  border-top:1px solid var(--lp-faint);font-weight:400;background:none;white-space:normal;
  max-width:none}
.lp-list th{color:var(--lp-quiet)}
.lp-panel .lp-list td:nth-child(-n+2){width:1%;white-space:nowrap;font-variant-numeric:tabular-nums}
.lp-list td:last-child{overflow-wrap:anywhere}
.lp-detail{display:grid;grid-template-columns:76px minmax(0,1fr);color:var(--lp-quiet)}
</style>"""
