// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {Claims} from "./libraries/Claims.sol";
import {CodeStorage} from "./libraries/CodeStorage.sol";

/// @title ModelRegistry: models by their digest, immutable once registered
/// @notice A model's id is the digest of its kind, manifest, circuit and of the commitments to its weights, so an id
///         can never come to mean something else.
/// @dev The commitments are large, so they are cut into parts of PART_BYTES that are stored one by one beforehand, by
///      anyone, each under its own digest. Whether they are points of the curve is for those to check who use them.
contract ModelRegistry is IModelRegistry {
    /// @notice Integer network with a circuit: one function on every machine, provable.
    uint8 public constant KIND_CANONICAL = 1;
    /// @notice Any ONNX file, bound by the digests in its manifest; has no circuit.
    uint8 public constant KIND_OPAQUE = 2;

    /// @notice 255 points of 96 bytes: what fits into one contract's code.
    uint256 public constant PART_BYTES = 24_480;
    uint256 public constant POINT_BYTES = 96;
    /// @notice Far above what one transaction can verify a proof about, and a bound on what `parametersOf` returns.
    uint256 public constant MAX_PARTS = 32;

    mapping(bytes32 modelId => Model) private _models;
    mapping(bytes32 modelId => address[]) private _parameters;

    /// @inheritdoc IModelRegistry
    mapping(bytes32 digest => address pointer) public pointerOf;

    /// @inheritdoc IModelRegistry
    function storeParameters(bytes calldata points) external returns (bytes32 digest) {
        if (points.length == 0 || points.length > PART_BYTES || points.length % POINT_BYTES != 0) {
            revert PartLength(points.length);
        }
        digest = keccak256(bytes.concat(hex"00", points));
        if (pointerOf[digest] != address(0)) return digest;
        address pointer = CodeStorage.write(points);
        pointerOf[digest] = pointer;
        emit ParametersStored(digest, pointer);
    }

    /// @inheritdoc IModelRegistry
    /// @dev WARNING: the id does not contain the owner. Whoever registers a model first owns it, which means they may
    ///      deprecate it and nothing else. A publisher who was overtaken changes the manifest (a new id) and registers
    ///      again.
    function register(
        uint8 kind,
        bytes32 manifestDigest,
        bytes calldata circuit,
        bytes32[] calldata parameters,
        string calldata dataUri
    ) external returns (bytes32 modelId) {
        if (kind != KIND_CANONICAL && kind != KIND_OPAQUE) revert UnknownKind(kind);
        if (manifestDigest == 0) revert ManifestMissing();
        if (kind == KIND_CANONICAL && circuit.length == 0) revert CircuitMissing();
        if (kind == KIND_OPAQUE && circuit.length != 0) revert CircuitUnexpected();
        if (kind == KIND_CANONICAL && parameters.length == 0) revert ParametersMissing();
        if (kind == KIND_OPAQUE && parameters.length != 0) revert ParametersUnexpected();
        bytes32 circuitDigest = kind == KIND_CANONICAL ? keccak256(circuit) : bytes32(0);
        modelId = Claims.hashModel(kind, manifestDigest, circuitDigest, parameters);
        if (_models[modelId].owner != address(0)) revert AlreadyRegistered(modelId);

        address pointer = kind == KIND_CANONICAL ? CodeStorage.write(circuit) : address(0);
        _models[modelId] = Model(msg.sender, kind, false, pointer, manifestDigest, circuitDigest);
        _parameters[modelId] = _pointersOf(parameters);
        emit ModelRegistered(modelId, kind, manifestDigest, circuitDigest, parameters, msg.sender, dataUri);
    }

    /// @inheritdoc IModelRegistry
    function deprecate(bytes32 modelId) external {
        Model storage model = _existing(modelId);
        if (msg.sender != model.owner) revert NotModelOwner(model.owner, msg.sender);
        if (model.isDeprecated) revert AlreadyDeprecated(modelId);
        model.isDeprecated = true;
        emit ModelDeprecated(modelId);
    }

    /// @inheritdoc IModelRegistry
    function modelOf(bytes32 modelId) external view returns (Model memory) {
        return _existing(modelId);
    }

    /// @inheritdoc IModelRegistry
    function isActive(bytes32 modelId) external view returns (bool) {
        Model storage model = _models[modelId];
        return model.owner != address(0) && !model.isDeprecated;
    }

    /// @inheritdoc IModelRegistry
    function circuitOf(bytes32 modelId) external view returns (bytes memory) {
        address pointer = _existing(modelId).circuitPointer;
        return pointer == address(0) ? bytes("") : CodeStorage.read(pointer);
    }

    /// @inheritdoc IModelRegistry
    function circuitPointerOf(bytes32 modelId) external view returns (address pointer) {
        return _existing(modelId).circuitPointer;
    }

    /// @inheritdoc IModelRegistry
    function parametersOf(bytes32 modelId) external view returns (address[] memory pointers) {
        _existing(modelId);
        return _parameters[modelId];
    }

    /// @inheritdoc IModelRegistry
    function parameterDigestsOf(bytes32 modelId) external view returns (bytes32[] memory digests) {
        _existing(modelId);
        address[] storage pointers = _parameters[modelId];
        digests = new bytes32[](pointers.length);
        for (uint256 i; i < digests.length; ++i) {
            digests[i] = pointers[i].codehash;
        }
    }

    /// @dev Exactly one way to cut points into parts: a model has one id.
    function _pointersOf(bytes32[] calldata parameters) private view returns (address[] memory pointers) {
        if (parameters.length > MAX_PARTS) revert TooManyParts(MAX_PARTS, parameters.length);
        pointers = new address[](parameters.length);
        for (uint256 i; i < pointers.length; ++i) {
            address pointer = pointerOf[parameters[i]];
            if (pointer == address(0)) revert PartNotStored(parameters[i]);
            uint256 partBytes = pointer.code.length - 1;
            bool isLast = i + 1 == pointers.length;
            if (!isLast && partBytes != PART_BYTES) revert PartNotFull(parameters[i], PART_BYTES, partBytes);
            pointers[i] = pointer;
        }
    }

    function _existing(bytes32 modelId) private view returns (Model storage model) {
        model = _models[modelId];
        if (model.owner == address(0)) revert UnknownModel(modelId);
    }
}
