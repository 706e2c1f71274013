// Theme, and tables that sort by a column and filter by words; html.py puts it into every page.
(function(){
document.documentElement.classList.add("js");
var root=document.documentElement,themes=["","light","dark"],b=document.getElementById("theme");
b.addEventListener("click",function(){var n=themes[(themes.indexOf(root.dataset.theme||"")+1)%3];
if(n)root.dataset.theme=n;else delete root.dataset.theme;b.textContent="Theme"+(n?": "+n:"");});
document.querySelectorAll("a[data-filter]").forEach(function(a){a.addEventListener("click",function(){
var i=document.querySelector(a.getAttribute("href")+" input");if(i){i.value=a.dataset.filter;i.dispatchEvent(new Event("input"));}});});
document.querySelectorAll(".data").forEach(function(box){
var body=box.querySelector("tbody"),input=box.querySelector("input"),heads=Array.from(box.querySelectorAll("th"));
if(input)input.addEventListener("input",function(){var words=input.value.toLowerCase().split(/\s+/).filter(Boolean);
Array.from(body.rows).forEach(function(r){var t=r.textContent.toLowerCase();r.hidden=!words.every(function(w){return t.indexOf(w)>=0;});});});
heads.forEach(function(th,i){th.querySelector("button").addEventListener("click",function(){
var numeric=th.classList.contains("n"),was=th.getAttribute("aria-sort"),up=was?was==="descending":!numeric;
heads.forEach(function(h){h.removeAttribute("aria-sort");});th.setAttribute("aria-sort",up?"ascending":"descending");
var key=function(r){var c=r.cells[i],v=c.dataset.v!==undefined?c.dataset.v:c.textContent;if(!numeric)return v.toLowerCase();
v=parseFloat(v.replace(/[,~%]/g,""));return isNaN(v)?-Infinity:v;};
Array.from(body.rows).sort(function(x,y){var a=key(x),c=key(y);return (a<c?-1:a>c?1:0)*(up?1:-1);}).forEach(function(r){body.appendChild(r);});});});});
})();
