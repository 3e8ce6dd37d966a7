// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev An ERC-20 that misbehaves as it is told to, from when it is told to.
contract OddToken is ERC20 {
    enum Mood {
        HONEST,
        /// @dev The receiver gets one unit less.
        FEE_ON_TRANSFER,
        /// @dev The sender loses one unit more.
        FEE_ON_SENDER,
        /// @dev Moves nothing and says so.
        FALSE,
        /// @dev Moves nothing and says that it did.
        LIAR,
        /// @dev The receiver gets one unit more, out of nothing.
        GENEROUS,
        REVERT
    }

    Mood private mood;
    address private frozen;
    address private hooked;
    bytes private hook;

    constructor() ERC20("Odd", "ODD") {}

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function mint(address to, uint256 amountWei) external {
        _mint(to, amountWei);
    }

    /// @dev Moves nothing from or to `account` any more, as a token with a blocklist.
    function freeze(address account) external {
        frozen = account;
    }

    /// @dev Takes something away, as a token that rebases down.
    function shrink(address from, uint256 amountWei) external {
        _burn(from, amountWei);
    }

    /// @dev Makes `target` be called, by this token, in the middle of the next transfer.
    function hookOnce(address target, bytes calldata data) external {
        (hooked, hook) = (target, data);
    }

    function transfer(address to, uint256 amountWei) public override returns (bool) {
        return _odd() ? mood == Mood.LIAR : super.transfer(to, amountWei);
    }

    function transferFrom(address from, address to, uint256 amountWei) public override returns (bool) {
        return _odd() ? mood == Mood.LIAR : super.transferFrom(from, to, amountWei);
    }

    function _odd() private view returns (bool) {
        if (mood == Mood.REVERT) revert("not today");
        return mood == Mood.FALSE || mood == Mood.LIAR;
    }

    function _update(address from, address to, uint256 amountWei) internal override {
        super._update(from, to, amountWei);
        if (from == address(0) || to == address(0)) return;
        if (from == frozen || to == frozen) revert("frozen");
        if (mood == Mood.FEE_ON_TRANSFER) super._update(to, address(0), 1);
        if (mood == Mood.FEE_ON_SENDER) super._update(from, address(0), 1);
        if (mood == Mood.GENEROUS) super._update(address(0), to, 1);
        if (hooked == address(0)) return;
        address target = hooked;
        hooked = address(0);
        (bool isSuccess, bytes memory why) = target.call(hook);
        if (isSuccess) return;
        assembly ("memory-safe") {
            revert(add(why, 0x20), mload(why))
        }
    }
}

/// @dev As tokens older than ERC-20's last words: `transfer` and `transferFrom` return nothing at all.
contract SilentToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amountWei) external {
        balanceOf[to] += amountWei;
    }

    function approve(address spender, uint256 amountWei) external {
        allowance[msg.sender][spender] = amountWei;
    }

    function transfer(address to, uint256 amountWei) external {
        _move(msg.sender, to, amountWei);
    }

    function transferFrom(address from, address to, uint256 amountWei) external {
        allowance[from][msg.sender] -= amountWei;
        _move(from, to, amountWei);
    }

    function _move(address from, address to, uint256 amountWei) private {
        balanceOf[from] -= amountWei;
        balanceOf[to] += amountWei;
    }
}
