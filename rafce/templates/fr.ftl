# Toutes les phrases du rapport en français. Mêmes identifiants et mêmes valeurs que dans les autres catalogues.
# Les espaces insécables devant « : ; ! ? % » sont mises par le programme.

intro = Données : **{ $source }**, { $classes } classes ({ $set }), { $train } images d'entraînement, { $val } de validation et { $test } de test. Toutes les mesures ci-dessous sont produites par `dvc repro` à partir de ce dépôt ; une affirmation qu'aucune mesure ne tranche porte la mention *non mesuré*.

## Sections
summary = Synthèse
protocol = Protocole et hypothèses
data = Données
runs = Expériences
attention = Cartes d'activation de classe
conclusion = Conclusion
reproduce = Reproduire l'étude

## Synthèse
points = { $number ->
    [one] point
   *[other] points
}
run = Exp.
run-title = { $name } : { $title }
trained = Couches entraînées
train-percent = Entr. %
val-percent = Val. %
test-percent = Test %
gap = Écart
gap-last = Écart, dernière époque
val-f1 = Macro-F1 val.
test-f1 = Macro-F1 test
supported-by-evidence = Étayé par les mesures
none = aucun
and = {" et "}
majority = Toujours la classe la plus fréquente
summary-note = Exactitudes en pour cent sur images non augmentées, à l'époque retenue sur la validation ; écarts (entraînement moins validation) en points. La meilleure expérience en validation est en gras. Une seule graine : quelques points d'écart entre expériences peuvent relever du hasard.

verdicts = Verdicts
verdict-overfitting = surapprentissage
verdict-underfitting = sous-apprentissage
verdict-under-trained = entraînement inachevé
verdict-catastrophic-forgetting = oubli catastrophique
outcome-supported = étayé
outcome-not-supported = non étayé
outcome-not-measured = non mesuré
outcome-contradicted = contredit
outcome-supported-for-some-runs = étayé pour certaines expériences
verdicts-note = Surapprentissage : écart d'au moins { POINTS($gap) } à la dernière époque. Sous-apprentissage : exactitude d'entraînement inférieure à { PERCENT($low) } et qui ne progresse plus ; entraînement inachevé : elle progresse encore, de plus de { POINTS($plateau) } sur le dernier tiers des époques. Les seuils sont fixés dans `params.yaml` ; les chiffres qui ont décidé figurent plus bas avec chaque expérience.
evidence-overfitting = écart à la dernière époque { POINTS($gap) }, seuil { POINTS($threshold) }
evidence-low-train = exactitude d'entraînement à la dernière époque { PERCENT($train_accuracy) }, seuil { PERCENT($threshold) } ; elle a varié de { CHANGE($rise) } sur le dernier tiers des époques
evidence-low-train-one-epoch = exactitude d'entraînement à la dernière époque { PERCENT($train_accuracy) }, seuil { PERCENT($threshold) } ; une seule époque ne permet pas de dire si le réseau apprend encore
evidence-catastrophic-forgetting = les exactitudes ne suffisent pas à le montrer : il faut celle de la tâche source, avant et après l'ajustement fin

claims = Les affirmations de l'étude d'origine face aux mesures
claims-note = Elles portent sur les expériences 1 à 3 de l'étude d'origine ; elles sont ici confrontées à `run1`, `run2` et `run3`, configurées comme indiqué plus bas.
claim = Affirmation
measured-here = Mesuré ici
verdict = Verdict
claim-overfits = L'expérience 1 surapprend (entraînement 87 %, validation 43 %)
claim-memorised = L'expérience 1 a mémorisé le bruit de fond, l'éclairage et des pixels particuliers
claim-underfits = L'expérience 2 sous-apprend (validation 36 %, écart d'environ 10 points)
claim-generic-features = Les caractéristiques génériques d'ImageNet ne suffisent pas pour des classes subtiles telles que Joie-dégoût
claim-forgets = L'expérience 3 oublie de façon catastrophique (validation 31 %) : l'ajustement fin a détruit l'acquis du préentraînement
claim-background = Les cartes s'activent souvent sur l'arrière-plan ou les cheveux plutôt que sur les yeux et la bouche
claim-rare = Colère-dégoût est une classe rare
claim-fails = Le réseau échoue totalement sur Colère-dégoût
claim-biased = Le réseau est biaisé en faveur des classes fréquentes
claim-confused = Les émotions de géométrie voisine (bouche ouverte) sont confondues
claim-millions = Sans des millions d'images, un CNN profond ne peut pas apprendre ces micro-caractéristiques
measured-nothing = aucune mesure de ce rapport ne tranche
measured-background = chaleur rapportée à la surface (1 = aucune préférence) : { $list }
measured-background-run = { $name } : { DECIMAL($away, 2) } sur l'arrière-plan et les cheveux, { DECIMAL($facial, 2) } sur les yeux, les sourcils et la bouche
measured-no-regions = pas de carte des régions pour ces images : seul le centre se distingue du bord
measured-empty-maps = toutes les cartes d'une expérience sont vides
measured-no-area = ces images ne montrent aucune de ces zones : { $areas }
measured-rare = rang { $rank } sur { $classes } par images d'entraînement ici ({ $images }), rang { $published } sur { $all } dans RAF-CE tel que publié ({ $published_images })
measured-fails = rappel en validation : { $list }
measured-fails-run = { $name } { PERCENT($recall) }
measured-no-image = la validation ne contient aucune image de cette classe
measured-biased = prédictions dans les trois classes les plus fréquentes, contre la part des images : { $list }
measured-biased-run = { $name } { PERCENT($predicted) } contre { PERCENT($true) }
measured-confused = { $list }. La géométrie elle-même n'est pas mesurée
measured-confused-run = { $name } : { PERCENT($share) } des erreurs partagent une émotion de base avec la vérité, { PERCENT($expected) } si elles suivaient les fréquences
measured-one-size = une seule taille de données ; il y faut une courbe d'apprentissage

## Protocole
value = Valeur
network = Réseau
network-value = ResNet-50 (torchvision), tête = dropout + couche linéaire
starting-weights = Poids de départ
random-weights = aléatoires
pretraining = Préentraînement sur émotions de base
pretraining-value = { $epochs } { $epochs ->
    [one] époque
   *[other] époques
} sur { $train } émotions simples : { PERCENT($accuracy) } de bonnes réponses sur { $val } images tenues à l'écart (classe la plus fréquente { PERCENT($majority) })
images = Images
images-value = { $stored } px dans le jeu de données, entraînement à { $used } px
epochs-batch = Époques, taille de lot
optimiser = Optimiseur
optimiser-value = { $optimizer }, décroissance des poids { $decay }, taux d'apprentissage constants
precision = Précision, fils d'exécution, graine
selection = Sélection
selection-value = meilleure exactitude de validation sur les époques ; le test n'est évalué qu'une fois
trained-parts = Couches entraînées
learning-rates = Taux d'apprentissage corps / tête
mixup-alpha = Alpha de Mixup
augmentation = Augmentation
assumed = **Absent de l'étude d'origine, supposé ici :** l'optimiseur et la décroissance des poids, les taux d'apprentissage constants, la taille de lot, le nombre d'époques, la précision, la sélection par l'exactitude de validation, l'alpha de Mixup, les taux d'apprentissage des expériences 1 et 2, l'augmentation standard des expériences 2 et 3, { $pretraining }le choix des poids ImageNet{ $weights } et la taille à laquelle le réseau voit les images.
assumed-pretraining = le préentraînement sur émotions de base,{" "}
assumed-random = {" "}(aucun n'est utilisé ici : les réseaux partent de poids aléatoires)
assumed-random-basic = {" "}(aucun n'est utilisé ici : les réseaux partent de poids aléatoires puis des émotions de base)
fixed = L'étude d'origine fixe ResNet-50, les poids ImageNet, pour l'expérience 2 Mixup, le dropout de 0,6 et les couches gelées, pour l'expérience 3 les deux taux d'apprentissage et les couches entraînées.

## Données
class = Classe
rafce-name = Numéro et nom dans RAF-CE
train = Entr.
val = Val.
test = Test
published = RAF-CE tel que publié (entr. / val. / test)
all = Total
basic-images = Émotions de base : { $train } pour l'entraînement, { $val } pour la validation, { $test } pour le test ;
basic-used = le préentraînement utilise les premières et sélectionne sur les deuxièmes, les troisièmes ne servent pas.
basic-unused = elles ne servent pas dans cette étude.
copies = Copies au pixel près écartées : composées { $compound }, de base { $basic } (avec une autre étiquette : { $other }) ; de chaque groupe, une image est gardée : composée avant de base, puis test avant validation avant entraînement.
class-order = L'ordre des classes est celui de RAF-CE, fixé dans un seul module ; des tests vérifient que numéros, noms de dossiers, axes ci-dessous et liste des classes enregistrée avec les poids concordent.

## Expériences
curves-alt = Exactitude par époque, entraînement et validation. Dernière époque : { $list }
curves-alt-run = { $name } entraînement { PERCENT($train) }, validation { PERCENT($val) }
curves-note = Exactitude par époque sur images non augmentées ; la courbe d'entraînement porte sur autant d'images d'entraînement que la validation en compte.
run-result = Époque { $epoch } retenue sur { $epochs }. Validation { PERCENT($val) }, classe la plus fréquente { PERCENT($majority) } ; à la dernière époque, entraînement { PERCENT($last_train) }, validation { PERCENT($last_val) }.
outcome = Résultat
evidence = Mesures
confusion = Confusions
matrices-alt = Matrices de confusion en validation. Bonnes réponses : { $list }
matrices-alt-run = { $name } { $right } sur { $images }
best-on-test = La meilleure expérience en validation, { $name }, sur le test :
final-alt = Matrice de confusion de { $name } sur le test, exactitude { PERCENT($accuracy) }
errors-share = { $errors } erreurs en validation, dont { PERCENT($share) } partagent une émotion de base avec la vérité ({ PERCENT($expected) } si les réponses fausses suivaient la fréquence des prédictions).
true = Vraie classe
predicted = Prédite
share-of-class = Part de la vraie classe %
bias = Biais vers les classes majoritaires
f1-alt = F1 par classe et par expérience en validation, classes rangées par nombre d'images d'entraînement ; le tableau suivant donne le rappel sur la classe la plus fréquente et la moins fréquente
frequent = Les trois classes les plus fréquentes à l'entraînement sont { $list }.
predictions-there = Prédictions dans ces classes %
images-there = Images de ces classes %
recall-most = Rappel sur { $class } (la plus fréquente) %
recall-least = Rappel sur { $class } (la moins fréquente) %
never-predicted = Jamais prédites

## Cartes d'activation de classe
attention-alt = Part de chaleur rapportée à la part de surface. { $list }
attention-alt-run = { $name } : { $shares }
attention-alt-area = { $area } { DECIMAL($ratio, 2) }
maps = Cartes de la classe prédite par { $method } à { $layer }, grille de { $grid } × { $grid } cases, sur { $images } images de validation, chaque carte ramenée à [0, 1] par la bibliothèque ; les cartes vides sont laissées de côté.
regions-exact = Les zones sont connues exactement : elles sont dessinées avec le visage.
regions-none = Il n'existe pas de carte des régions pour ces images : le centre est le carré central de 60 % du côté.
relative = La chaleur relative est la part de chaleur divisée par la part de surface : 1 signifie aucune préférence. Que la carte dépende vraiment des poids, et que le réseau ait besoin de ce qu'elle marque, n'est pas mesuré ici.
area = Zone
heat-percent = Chaleur %
area-percent = Surface %
relative-head = Relative
area-eyes_brows = yeux + sourcils
area-nose = nez
area-mouth = bouche
area-other_face = reste du visage
area-hair = cheveux
area-background = arrière-plan
area-centre = centre
area-border = bord
empty-maps = cartes vides, laissées de côté
of = { $part } sur { $all }
gallery-note = Exemples de chaque classe, image puis superposition, des plus sûrs aux moins sûrs : à gauche (✓) les bonnes réponses, à droite (✗) les mauvaises, avec la réponse et sa probabilité. Les classes portent leur nom dans RAF-CE.
gallery-alt = Galerie de { $name } : exemples bien et mal classés de chaque classe, image et superposition
gallery-elsewhere = Les galeries (exemples bien et mal classés de chaque classe, image puis superposition) montrent des visages : elles se trouvent dans le cache DVC, `plots/runs/<run>/gallery.jpg`, et dans `report/report.html`.

## Conclusion
order = Par exactitude de validation, l'ordre est { $list } ; l'étude d'origine donne l'expérience 1 (43 %), l'expérience 2 (36 %), l'expérience 3 (31 %) sur RAF-CE.
order-run = { $name } ({ PERCENT($accuracy) })
other-images = Ces images sont autres ({ $source }) : les niveaux ne se comparent pas, seul le caractère des expériences se compare.
best-reaches = Sur le test, la meilleure expérience en validation, { $name }, atteint { PERCENT($accuracy) } d'exactitude et { DECIMAL($f1, 3) } de macro-F1.
supports = { $name } : verdict étayé par les mesures – { $list }.
supports-none = { $name } : aucun verdict n'est étayé par les mesures.
claim-counts = Parmi les affirmations de l'étude d'origine, { $supported } { $supported ->
    [one] est étayée
   *[other] sont étayées
}, { $contradicted } { $contradicted ->
    [one] contredite
   *[other] contredites
}, { $unmeasured } non { $unmeasured ->
    [one] mesurée
   *[other] mesurées
}, { $mixed } { $mixed ->
    [one] mitigée ou non étayée
   *[other] mitigées ou non étayées
}, sur ces données et avec ces réglages.

## Reproduire l'étude
reproduce-note = Avec le `params.yaml` de ce commit ; les images des sources autres que `synthetic` sont à mettre en place au préalable (`docs/data/`).
this-repository = ce dépôt
environment-comment = ou dvc repro, dans un environnement qui a requirements.txt
agree-comment = les métriques face à celles du dépôt : égales sur le même type de processeur, mêmes fils d'exécution et mêmes versions

## Figures
figure-epoch = Époque
figure-accuracy = Exactitude, %
figure-curves = Trait plein : validation. Tirets : entraînement. Images non augmentées
figure-validation = validation { PERCENT($accuracy) }
figure-test = { $name } : { $title }, test
figure-test-scores = exactitude { PERCENT($accuracy) }, macro-F1 { DECIMAL($f1, 3) }, { $images } images
figure-f1-axis = F1, validation
figure-f1 = F1 par classe (images d'entraînement)
figure-attention-axis = Part de chaleur / part de surface
figure-attention = Cartes d'activation : 1 = aucune préférence

## Classes
Happily_Surprised = Joie-surprise
Happily_Disgusted = Joie-dégoût
Sadly_Fearful = Tristesse-peur
Sadly_Angry = Tristesse-colère
Sadly_Surprised = Tristesse-surprise
Sadly_Disgusted = Tristesse-dégoût
Fearfully_Angry = Peur-colère
Fearfully_Surprised = Peur-surprise
Fearfully_Disgusted = Peur-dégoût
Angrily_Surprised = Colère-surprise
Angrily_Disgusted = Colère-dégoût
Disgustedly_Surprised = Dégoût-surprise
Happily_Fearful = Joie-peur
Happily_Sad = Joie-tristesse

## Titres de params.yaml, là où ils sont connus ; les autres s'impriment tels quels
known-naive-fine-tuning = Ajustement fin naïf
known-mixup-frozen-layers-dropout = Mixup, couches gelées, dropout
known-differential-fine-tuning = Ajustement fin différentiel
known-compound-emotions-with-resnet-50-three-training-regimes = Émotions composées avec ResNet-50 – trois régimes d'entraînement
